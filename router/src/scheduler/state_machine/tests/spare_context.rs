//! Context beyond what those who wait need: where it is given, and that it costs nobody anything.

use super::{
    memory::{budgeted, model},
    *,
};

/// A request with a prompt of that length, of a client whose requests needed `expected` lately.
fn asks(bench: &mut SchedulerHarness, ticket: u64, prompt: u64, expected: u64) -> Vec<Action> {
    let mut request = permit_request(ticket, "e", "m", bench.now);
    (
        request.prompt_tokens,
        request.answer_tokens,
        request.expected_context,
    ) = (prompt, 1024, expected);
    bench.step(Input::Arrive(request.into()))
}

fn agent(bench: &mut SchedulerHarness, ticket: u64, prompt: u64) -> Vec<Action> {
    let mut request = permit_request(ticket, "e", "m", bench.now);
    (
        request.prompt_tokens,
        request.answer_tokens,
        request.growing_prompts,
    ) = (prompt, 1024, true);
    bench.step(Input::Arrive(request.into()))
}

fn contexts(actions: &[Action]) -> Vec<u64> {
    let orders = orders(actions).into_iter();
    orders.filter_map(|o| o.tuple.context).collect()
}

/// 10 GB for `m` of 4 GB and `b` of 4 GB; 100 kB for each token of `m`, two requests at once.
fn tight() -> EngineFacts {
    let mut facts = budgeted("e", "cpu", &[("b", 4)]);
    let mut large = model("m", 4 * GB);
    large.context_bytes = Some(100_000);
    Arc::make_mut(&mut facts.models).push(large);
    facts
}

#[test]
fn a_first_load_has_room_for_what_its_client_needed_before() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    assert_eq!(contexts(&asks(&mut bench, 1, 600, 9700)), [16_384]);
    bench.loaded("e", "m", 16_384);
    bench.step(Input::Released(1));
    assert_eq!(granted(&asks(&mut bench, 2, 7700, 9700)), [2]);
    bench.step(Input::Released(2));
    // It was nobody's need when it was loaded: what is remembered is what was.
    bench.polled("e", &[]);
    assert_eq!(contexts(&asks(&mut bench, 3, 600, 0)), [4096]);
}

#[test]
fn nothing_is_evicted_or_refused_for_it_and_less_is_taken_where_only_that_fits() {
    // 4 GB and two times 16,384 tokens of 100 kB fit 10 GB, two times 65,536 do not.
    let mut bench = SchedulerHarness::new(vec![tight()]);
    assert_eq!(contexts(&asks(&mut bench, 1, 600, 30_000)), [16_384]);
    // Beside `b` there is room for what is needed alone, and `b` stays.
    let mut bench = SchedulerHarness::new(vec![tight()]);
    bench.hold(1, "e", "b");
    bench.now += SECOND * 60;
    let actions = asks(&mut bench, 2, 600, 30_000);
    assert_eq!(
        (contexts(&actions), unloading(&actions)),
        (vec![8192], vec![])
    );
    // Nor is a prompt longer than it is for the client's sake.
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    let mut request = permit_request(1, "e", "m", bench.now);
    (request.expected_context, request.fit) = (90_000, Fit::Reject);
    let actions = bench.step(Input::Arrive(request.into()));
    assert_eq!(contexts(&actions), [4096]);
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    let mut request = permit_request(1, "e", "m", bench.now);
    (request.expected_context, request.context_cap) = (u64::MAX, 20_000);
    let actions = bench.step(Input::Arrive(request.into()));
    assert_eq!(contexts(&actions), [20_000]);
}

#[test]
fn an_engine_without_memory_for_it_is_asked_for_what_is_needed() {
    for words in ["out of memory", "Error loading model"] {
        let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
        assert_eq!(contexts(&asks(&mut bench, 1, 600, 9700)), [16_384]);
        let failure = LoadFailure::classify(words.into());
        let actions = bench.step(Input::LoadFailed("e".into(), failure));
        assert!(refused(&actions).is_empty(), "{words}: {actions:?}");
        assert_eq!(contexts(&actions), [8192], "{words}");
    }
}

#[test]
fn an_agent_that_outgrew_its_model_is_a_step_ahead() {
    for (grows, loads) in [
        (true, vec![4096, 32_768]),
        (false, vec![4096, 16_384, 32_768]),
    ] {
        let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
        let mut loaded = Vec::new();
        for (ticket, prompt) in [(1, 500), (2, 8000), (3, 20_000)] {
            let mut actions = if grows {
                agent(&mut bench, ticket, prompt)
            } else {
                asks(&mut bench, ticket, prompt, 0)
            };
            if unloading(&actions) == ["m"] {
                actions = bench.step(Input::Unloaded("e".into(), true));
            }
            if let [context] = contexts(&actions)[..] {
                loaded.push(context);
                actions = bench.loaded("e", "m", context);
            }
            assert_eq!(granted(&actions), [ticket]);
            bench.step(Input::Released(ticket));
        }
        assert_eq!(loaded, loads);
    }
}
