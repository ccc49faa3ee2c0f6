//! Input that should not be.

use super::{memory::budgeted, *};

#[test]
fn of_contradictory_budgets_the_smallest_holds() {
    let mut other = budgeted("f", "cpu", &[("b", 4)]);
    other.pool_budget = Some(5 * GB);
    let mut bench = SchedulerHarness::new(vec![budgeted("e", "cpu", &[("a", 4)]), other]);
    bench.hold(1, "e", "a");
    assert_eq!(unloading(&bench.arrive(2, "f", "b")), ["a"]);
}

#[test]
fn a_budget_of_nothing_loads_one_at_a_time() {
    let mut facts = budgeted("e", "cpu", &[("a", 4), ("b", 4)]);
    facts.pool_budget = Some(0);
    let mut bench = SchedulerHarness::new(vec![facts]);
    bench.hold(1, "e", "a");
    assert_eq!(unloading(&bench.arrive(2, "e", "b")), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["b"]);
}

#[test]
fn two_engines_of_one_address_do_not_own_the_same_model_twice() {
    let twin = |name| EngineFacts {
        url: "http://same".into(),
        ..facts(name, "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![twin("e"), twin("f")]);
    bench.hold(1, "e", "m");
    let memory = bench.core.persisted_state();
    let held = |name| EngineFacts {
        residents: vec![info("m", 4096)],
        ..twin(name)
    };
    let mut core = Scheduler::default();
    core.step(Input::Restore(memory), bench.now, &mut Vec::new());
    let fleet = vec![held("e"), held("f")];
    core.step(Input::Fleet(fleet), bench.now, &mut Vec::new());
    assert_eq!(core.persisted_state().owned.len(), 1);
    let mut actions = Vec::new();
    core.step(Input::Drain(true), bench.now, &mut actions);
    assert_eq!(unloading(&actions).len(), 1);
}

#[test]
fn absurd_sizes_and_contexts_do_not_overflow() {
    let mut facts = budgeted("e", "cpu", &[]);
    let mut model = crate::plan::fixture::generation("m");
    (model.size_bytes, model.context_bytes) = (Some(1 << 49), Some(1 << 49));
    facts.models = Arc::new(vec![model]);
    facts.permits_per_resident = u32::MAX;
    let mut bench = SchedulerHarness::new(vec![facts]);
    let mut request = permit_request(1, "e", "m", bench.now);
    (
        request.prompt_tokens,
        request.base_context,
        request.context_cap,
    ) = (u64::MAX / 2, u64::MAX / 2, u64::MAX);
    assert_eq!(loading(&bench.step(Input::Arrive(request.into()))), ["m"]);
    let mut told = info("m", u64::MAX);
    told.bytes = Some(u64::MAX);
    assert_eq!(granted(&bench.step(Input::Loaded("e".into(), told))), [1]);
    bench.step(Input::Released(1));
}

#[test]
fn a_clock_that_jumps_back_loses_nobody() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.now += SECOND * 1000;
    bench.arrive(1, "e", "m");
    bench.now -= SECOND * 900;
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [1]);
    bench.step(Input::Released(1));
    bench.arrive(2, "e", "n");
    let failed = LoadFailure::Refused("no".into());
    bench.step(Input::LoadFailed("e".into(), failed));
    bench.now -= SECOND * 50;
    assert_eq!(refused(&bench.arrive(3, "e", "n")).len(), 1);
    // A jump ahead ends every wait at once, and each is told.
    bench.arrive(4, "e", "o");
    bench.now += SECOND * 100_000;
    assert!(
        refused(&bench.step(Input::Tick))
            .iter()
            .any(|(t, _)| *t == 4)
    );
}

#[test]
fn a_time_to_live_beyond_every_clock_never_ends() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        model_ttl: Some(Duration::MAX),
        overtake_age: Duration::MAX,
        load_timeout: Duration::MAX,
        ..facts("e", "cpu")
    }]);
    bench.hold(1, "e", "m");
    assert_eq!(bench.core.next_deadline(bench.now), None);
}

#[test]
fn answers_to_nothing_change_nothing() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    assert!(bench.loaded("e", "m", 4096).is_empty());
    assert!(bench.step(Input::Unloaded("e".into(), true)).is_empty());
    let failed = LoadFailure::Timeout;
    assert!(bench.step(Input::LoadFailed("e".into(), failed)).is_empty());
    assert!(bench.step(Input::Released(9)).is_empty());
    assert!(bench.step(Input::Cancelled(9)).is_empty());
    // The end of another kind of operation is not that of this one.
    bench.arrive(1, "e", "m");
    assert!(bench.step(Input::Unloaded("e".into(), true)).is_empty());
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [1]);
}
