//! What the simulation must get right before anybody believes its comparison.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::{Class, Config, Device, EngineKind, PoolSettings};

use super::{
    BaselinePolicy, ReplayOutcome, RequestFate, RequestTrace, SchedulingPolicy, ServiceOrder,
    SimulatedEngine, SimulatedMachine, SimulatedModel, TraceRequest, fewest_loads, simulate,
};
use crate::{catalog::ModelKind, scheduler::Scheduler};

const S: Duration = Duration::from_secs(1);

fn pool(budget: u64) -> PoolSettings {
    PoolSettings {
        memory: None,
        budget: Some(budget),
        exclusive: false,
    }
}

/// One LM Studio with room for `room` models; a load is 10 s, an unload 1 s, a request 2 s.
fn machine(room: u32) -> SimulatedMachine {
    let mut config = Config::builtin();
    config.tuning.lmstudio.max_loaded_models = room;
    config.pools.insert("gpu".into(), pool(1_000_000_000_000));
    let models = ["a", "b", "c"].map(|name| SimulatedModel {
        name: Arc::from(name),
        kind: ModelKind::Generation,
        bytes: Some(4_000_000_000),
        load_time: 10 * S,
        prompt_per_second: 1000,
        output_per_second: 50,
    });
    let engine = SimulatedEngine {
        name: Arc::from("gpu"),
        kind: EngineKind::Lmstudio,
        device: Device::Gpu,
        pool: Arc::from("gpu"),
        unload_time: S,
        models: models.to_vec(),
    };
    SimulatedMachine {
        config,
        engines: vec![engine],
    }
}

/// One letter per second is one request; 1000 prompt tokens and 50 of answer.
fn trace(models: &str) -> RequestTrace {
    let request = |(at, model): (usize, char)| TraceRequest {
        at: S * u32::try_from(at).unwrap(),
        client: None,
        class: Class::Interactive,
        engine: Arc::from("gpu"),
        model: Arc::from(model.to_string()),
        kind: ModelKind::Generation,
        prompt_tokens: 1000,
        output_tokens: 50,
        service_time: None,
        calls_tools: false,
        follows_after: None,
        longest_wait: None,
    };
    RequestTrace::new(models.chars().enumerate().map(request).collect())
}

fn run(policy: &mut dyn SchedulingPolicy, models: &str, room: u32) -> ReplayOutcome {
    simulate(policy, &trace(models), &machine(room))
}

fn waits(outcome: &ReplayOutcome) -> Vec<u64> {
    let wait = |fate: &RequestFate| match fate {
        RequestFate::Served { wait, .. } => wait.as_secs(),
        other => panic!("{other:?}"),
    };
    outcome.fates.iter().map(wait).collect()
}

#[test]
fn a_load_is_shared_and_permits_bound_what_runs_at_once() {
    let outcome = run(&mut Scheduler::default(), "aaaa", 1);
    // Loaded at 10 s; two permits of 2 s each.
    assert_eq!(waits(&outcome), [10, 9, 10, 9]);
    assert_eq!((outcome.loads.len(), outcome.unloads), (1, 0));
    assert_eq!(outcome.makespan, 14 * S);
}

#[test]
fn what_is_measured_replaces_the_rates() {
    let mut requests = trace("a").requests().to_vec();
    requests[0].service_time = Some(30 * S);
    let outcome = simulate(
        &mut Scheduler::default(),
        &RequestTrace::new(requests),
        &machine(1),
    );
    assert_eq!(outcome.makespan, 40 * S);
}

#[test]
fn first_come_first_served_swaps_at_every_change() {
    let machine = machine(1);
    let strict = run(
        &mut BaselinePolicy::new(ServiceOrder::Strict, &machine),
        "abab",
        1,
    );
    // 10 s load, 2 s service, then 1 s unload, 10 s load and 2 s service each.
    assert_eq!(waits(&strict), [10, 22, 34, 46]);
    assert_eq!((strict.loads.len(), strict.unloads), (4, 3));
}

#[test]
fn collating_serves_all_of_a_model_before_it_swaps() {
    let machine = machine(1);
    let collated = run(
        &mut BaselinePolicy::new(ServiceOrder::Collate, &machine),
        "abab",
        1,
    );
    assert_eq!(waits(&collated), [10, 22, 8, 20]);
    assert_eq!(collated.loads.len(), 2);
    let ours = run(&mut Scheduler::default(), "abab", 1);
    assert_eq!(waits(&ours), [10, 22, 8, 20]);
}

#[test]
fn overtaking_is_bounded_where_collating_is_not() {
    let machine = machine(1);
    let busy = format!("ab{}", "a".repeat(60));
    let collated = run(
        &mut BaselinePolicy::new(ServiceOrder::Collate, &machine),
        &busy,
        1,
    );
    let ours = run(&mut Scheduler::default(), &busy, 1);
    assert!(waits(&ours)[1] < waits(&collated)[1]);
    assert!(waits(&ours)[1] <= 20 + 13, "{:?}", waits(&ours)[1]);
}

#[test]
fn room_for_both_needs_no_swap() {
    let outcome = run(&mut Scheduler::default(), "abab", 2);
    assert_eq!((outcome.loads.len(), outcome.unloads), (2, 0));
    assert_eq!(fewest_loads(&trace("abab"), &machine(2)), 2);
    assert_eq!(fewest_loads(&trace("abab"), &machine(1)), 4);
}

#[test]
fn who_waits_too_long_or_stands_too_far_behind_is_refused() {
    let mut requests = trace("ab").requests().to_vec();
    requests[1].longest_wait = Some(3 * S);
    let trace = RequestTrace::new(requests);
    let mut narrow = machine(1);
    for policy in [
        &mut Scheduler::default() as &mut dyn SchedulingPolicy,
        &mut BaselinePolicy::new(ServiceOrder::Strict, &narrow),
    ] {
        let outcome = simulate(policy, &trace, &narrow);
        assert_eq!(outcome.fates[1], RequestFate::Rejected { after: 3 * S });
        assert_eq!(outcome.wait_summary(&trace, |_| true).rejected, 1);
    }
    let url = "http://127.0.0.1".parse().unwrap();
    let mut engine = narrow.config.discovered(EngineKind::Lmstudio, "gpu", url);
    engine.queue = 1;
    narrow.config.engines.push(engine);
    for policy in [
        &mut Scheduler::default() as &mut dyn SchedulingPolicy,
        &mut BaselinePolicy::new(ServiceOrder::Collate, &narrow),
    ] {
        let outcome = simulate(policy, &self::trace("aaa"), &narrow);
        assert_eq!(
            outcome.wait_summary(&self::trace("aaa"), |_| true).rejected,
            2
        );
    }
}

#[test]
fn a_memory_budget_bounds_the_baselines_and_the_fewest_loads() {
    let mut machine = machine(3);
    machine
        .config
        .pools
        .insert("gpu".into(), pool(8_000_000_000));
    let trace = trace("abcabc");
    let strict = simulate(
        &mut BaselinePolicy::new(ServiceOrder::Strict, &machine),
        &trace,
        &machine,
    );
    assert_eq!((strict.loads.len(), strict.unloads), (6, 4));
    assert_eq!(fewest_loads(&trace, &machine), 4);
}

#[test]
fn a_request_that_the_machine_does_not_know_is_refused() {
    let outcome = run(&mut Scheduler::default(), "x", 1);
    let after = Duration::ZERO;
    assert_eq!(outcome.fates, [RequestFate::Rejected { after }]);
}

#[test]
fn the_same_input_gives_the_same_outcome() {
    let once = run(&mut Scheduler::default(), "abcabcaabbcc", 2);
    let again = run(&mut Scheduler::default(), "abcabcaabbcc", 2);
    assert_eq!(once, again);
    assert_eq!(
        once.loads_of("a") + once.loads_of("b") + once.loads_of("c"),
        once.loads.len()
    );
}
