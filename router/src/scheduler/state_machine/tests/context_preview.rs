//! The context that a request is told beforehand is the one that it then gets.

use std::sync::Arc;

use super::*;
use crate::{plan::fixture::generation, scheduler::state_machine::ContextReason};

/// An agent's request for `m`, with that prompt.
fn agent(bench: &SchedulerHarness, ticket: u64, prompt: u64) -> Arc<PermitRequest> {
    let mut request = permit_request(ticket, "e", "m", bench.now);
    (request.prompt_tokens, request.growing_prompts) = (prompt, true);
    Arc::new(request)
}

fn preview(bench: &SchedulerHarness, request: &Arc<PermitRequest>) -> Option<(u64, ContextReason)> {
    bench.core.preview_context(request, bench.now)
}

#[test]
fn an_agent_is_told_the_step_ahead_that_its_model_grows_by() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    let request = agent(&bench, 2, 9000);
    let told = preview(&bench, &request);
    assert_eq!(told, Some((32_768, ContextReason::Needed)));
    assert_eq!(unloading(&bench.step(Input::Arrive(request))), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(orders(&actions)[0].tuple.context, Some(32_768));
}

#[test]
fn what_came_back_smaller_is_told_with_the_context_that_it_is_loaded_anew_with() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        kind: EngineKind::Lmstudio,
        ..facts("e", "gpu")
    }]);
    bench.hold(1, "e", "m");
    bench.polled("e", &[info("m", 2048)]);
    let request = Arc::new(permit_request(2, "e", "m", bench.now));
    let told = preview(&bench, &request);
    assert_eq!(told, Some((4096, ContextReason::Configured)));
    assert_eq!(unloading(&bench.step(Input::Arrive(request))), ["m"]);
}

#[test]
fn a_name_with_other_options_is_told_its_own_load() {
    let models = ["a", "c"].map(|name| {
        let mut model = generation(name);
        model.runner = "a".into();
        model
    });
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        models: Arc::new(models.to_vec()),
        option_variants: [("c".into(), 7)].into(),
        ..facts("e", "cpu")
    }]);
    bench.hold(1, "e", "a");
    let mut request = permit_request(2, "e", "a", bench.now);
    assert_eq!(
        preview(&bench, &Arc::new(request.clone())),
        Some((4096, ContextReason::Loaded))
    );
    (request.name, request.base_context) = ("c".into(), 6000);
    let request = Arc::new(request);
    let told = preview(&bench, &request);
    assert_eq!(told, Some((6000, ContextReason::Configured)));
    assert_eq!(unloading(&bench.step(Input::Arrive(request))), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(orders(&actions)[0].tuple.context, Some(6000));
}

#[test]
fn where_nobody_loads_and_nobody_reports_a_context_none_is_told() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        kind: EngineKind::Openai,
        load_control: false,
        ..facts("e", "gpu")
    }]);
    for ticket in [1, 2] {
        let request = Arc::new(permit_request(ticket, "e", "m", bench.now));
        assert_eq!(preview(&bench, &request), None);
        assert_eq!(granted(&bench.step(Input::Arrive(request))), [ticket]);
    }
}
