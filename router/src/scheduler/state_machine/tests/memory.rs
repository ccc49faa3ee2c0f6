//! Budgets: what fits, what goes, what waits.

use super::*;
use crate::{catalog::ModelInfo, plan::fixture::generation};

/// A model of that many bytes, without context memory.
pub(super) fn model(name: &str, bytes: u64) -> ModelInfo {
    let mut model = generation(name);
    (model.size_bytes, model.context_bytes) = (Some(bytes), Some(1));
    model
}

/// An engine with room for eight models and a budget of 10 GB.
pub(super) fn budgeted(name: &str, pool: &str, models: &[(&str, u64)]) -> EngineFacts {
    let models = models.iter().map(|(name, gb)| model(name, gb * GB));
    EngineFacts {
        max_loaded_models: 8,
        pool_budget: Some(10 * GB),
        models: Arc::new(models.collect()),
        ..facts(name, pool)
    }
}

#[test]
fn a_load_that_does_not_fit_evicts_what_is_idle() {
    let mut bench =
        SchedulerHarness::new(vec![budgeted("e", "cpu", &[("a", 4), ("b", 4), ("c", 4)])]);
    bench.hold(1, "e", "a");
    bench.now += SECOND;
    bench.hold(2, "e", "b");
    assert_eq!(unloading(&bench.arrive(3, "e", "c")), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(evictions(&actions), [EvictionReason::Conflict]);
    assert_eq!(loading(&actions), ["c"]);
}

#[test]
fn a_pool_is_shared_by_its_engines() {
    let mut bench = SchedulerHarness::new(vec![
        budgeted("e", "gpu", &[("a", 6)]),
        budgeted("f", "gpu", &[("b", 6)]),
        budgeted("g", "cpu", &[("c", 6)]),
    ]);
    bench.hold(1, "e", "a");
    assert_eq!(loading(&bench.arrive(2, "g", "c")), ["c"]);
    assert_eq!(unloading(&bench.arrive(3, "f", "b")), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["b"]);
}

#[test]
fn what_is_busy_is_waited_for_within_the_overtaking_bound() {
    let mut bench = SchedulerHarness::new(vec![
        budgeted("e", "gpu", &[("a", 6)]),
        budgeted("f", "gpu", &[("b", 6)]),
    ]);
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    assert!(bench.arrive(2, "f", "b").is_empty());
    for ticket in 3..=5 {
        assert_eq!(granted(&bench.arrive(ticket, "e", "a")), [ticket]);
        bench.step(Input::Released(ticket));
    }
    // The bound holds across engines.
    assert!(bench.arrive(6, "e", "a").is_empty());
    assert_eq!(unloading(&bench.step(Input::Released(1))), ["a"]);
}

#[test]
fn the_pools_of_one_memory_share_its_budget() {
    let shared = |name, pool, models| EngineFacts {
        shared_budget: Some(10 * GB),
        ..budgeted(name, pool, models)
    };
    let mut bench = SchedulerHarness::new(vec![
        shared("e", "gpu", &[("a", 6)]),
        shared("f", "cpu", &[("b", 6)]),
    ]);
    bench.arrive(1, "e", "a");
    // While it loads, its memory counts already.
    assert!(bench.arrive(2, "f", "b").is_empty());
    bench.loaded("e", "a", 4096);
    assert_eq!(unloading(&bench.step(Input::Released(1))), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["b"]);
}

#[test]
fn what_exceeds_the_budget_is_loaded_alone_with_a_warning() {
    let mut bench = SchedulerHarness::new(vec![budgeted("e", "cpu", &[("a", 4), ("huge", 40)])]);
    bench.hold(1, "e", "a");
    assert_eq!(unloading(&bench.arrive(2, "e", "huge")), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    let [order] = orders(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(order.over_budget_bytes.is_some_and(|b| b > 40 * GB));
    assert_eq!(granted(&bench.loaded("e", "huge", 4096)), [2]);
    bench.step(Input::Released(2));
    assert_eq!(unloading(&bench.arrive(3, "e", "a")), ["huge"]);
}

#[test]
fn a_budget_smaller_than_a_pinned_model_is_told_to_others() {
    let mut facts = budgeted("e", "cpu", &[("pin", 12), ("b", 1)]);
    facts.pinned_models = vec!["pin".into()];
    let mut bench = SchedulerHarness::new(vec![facts]);
    let mut pinned = permit_request(1, "e", "pin", bench.now);
    pinned.pin = true;
    assert_eq!(loading(&bench.step(Input::Arrive(pinned.into()))), ["pin"]);
    assert_eq!(granted(&bench.loaded("e", "pin", 4096)), [1]);
    bench.step(Input::Released(1));
    let actions = bench.arrive(2, "e", "b");
    let [(2, Refusal::LoadFailed { message, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(
        message.contains("'pin'") && message.contains("budget of 10000 MB"),
        "{message}"
    );
}

#[test]
fn what_a_person_loaded_blocks_by_its_memory_too() {
    let mut facts = budgeted("e", "gpu", &[("hand", 8), ("b", 4)]);
    facts.residents = vec![info("hand", 4096)];
    for (evict_foreign, blocked) in [(false, true), (true, false)] {
        facts.evict_foreign = evict_foreign;
        let mut bench = SchedulerHarness::new(vec![facts.clone()]);
        let actions = bench.arrive(1, "e", "b");
        let told = matches!(refused(&actions)[..], [(1, Refusal::Blocked { .. })]);
        assert_eq!(told, blocked, "{actions:?}");
        assert_eq!(unloading(&actions).is_empty(), blocked);
    }
}

#[test]
fn a_blocker_is_named_with_its_own_engine() {
    let mut other = budgeted("other", "gpu", &[("hand", 8)]);
    other.residents = vec![info("hand", 4096)];
    let mut bench = SchedulerHarness::new(vec![budgeted("e", "gpu", &[("b", 4)]), other]);
    let actions = bench.arrive(1, "e", "b");
    let [(1, refusal)] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    let told = refusal.to_string();
    assert!(
        told.starts_with("'hand' on 'other' was loaded by hand and blocks 'b'"),
        "{told}"
    );
}

#[test]
fn an_unknown_size_or_budget_never_refuses() {
    let mut unknown = budgeted("e", "gpu", &[("a", 8), ("b", 8)]);
    unknown.pool_budget = None;
    let mut bench = SchedulerHarness::new(vec![unknown]);
    bench.hold(1, "e", "a");
    assert_eq!(loading(&bench.arrive(2, "e", "b")), ["b"]);
    let mut bench = SchedulerHarness::new(vec![budgeted("e", "gpu", &[("a", 8)])]);
    bench.hold(1, "e", "a");
    assert_eq!(loading(&bench.arrive(2, "e", "nameless")), ["nameless"]);
}

#[test]
fn embedding_models_need_memory_alone() {
    let mut facts = budgeted("e", "cpu", &[("chat", 6), ("embed", 6)]);
    facts.max_loaded_models = 1;
    let mut bench = SchedulerHarness::new(vec![facts]);
    bench.hold(1, "e", "chat");
    let mut embed = permit_request(2, "e", "embed", bench.now);
    (embed.kind, embed.prompt_tokens, embed.tuple) =
        (ModelKind::Embedding, 0, LoadTuple::default());
    let actions = bench.step(Input::Arrive(embed.into()));
    let [(2, Refusal::NoRoomForEmbedding { pool, blocker, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((&**pool, &**blocker), ("cpu", "chat"));
}

#[test]
fn an_embedding_model_takes_the_place_of_another_one_only() {
    let facts = budgeted("e", "cpu", &[("chat", 4), ("embed", 4), ("other", 4)]);
    let mut bench = SchedulerHarness::new(vec![facts]);
    bench.hold(1, "e", "chat");
    let embed = |bench: &SchedulerHarness, ticket, name| {
        let mut embed = permit_request(ticket, "e", name, bench.now);
        (embed.kind, embed.prompt_tokens, embed.tuple) =
            (ModelKind::Embedding, 0, LoadTuple::default());
        Input::Arrive(embed.into())
    };
    let arrival = embed(&bench, 2, "embed");
    assert_eq!(loading(&bench.step(arrival)), ["embed"]);
    assert_eq!(granted(&bench.loaded("e", "embed", 512)), [2]);
    bench.step(Input::Released(2));
    bench.now += SECOND;
    // The chat model is idle for longer, and stays.
    let arrival = embed(&bench, 3, "other");
    assert_eq!(unloading(&bench.step(arrival)), ["embed"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["other"]);
}

#[test]
fn of_two_idle_models_the_one_that_loads_fast_goes_first() {
    let mut bench = SchedulerHarness::new(vec![budgeted(
        "e",
        "cpu",
        &[("slow", 4), ("fast", 4), ("c", 4)],
    )]);
    for (ticket, name, load) in [(1, "slow", 60), (2, "fast", 2)] {
        bench.arrive(ticket, "e", name);
        bench.now += SECOND * load;
        bench.loaded("e", name, 4096);
        bench.step(Input::Released(ticket));
    }
    bench.now += SECOND * 10;
    // 12 s of 60 s are less than 10 s of 2 s.
    assert_eq!(unloading(&bench.arrive(3, "e", "c")), ["fast"]);
}

#[test]
fn what_earlier_runs_measured_weighs_victims_too() {
    let mut facts = budgeted("e", "cpu", &[("slow", 4), ("fast", 4), ("c", 4)]);
    facts.evict_foreign = true;
    facts.load_times = [("slow", 60), ("fast", 2)]
        .map(|(m, s)| (m.into(), SECOND * s))
        .into();
    let mut bench = SchedulerHarness::new(vec![facts]);
    bench.polled("e", &[info("slow", 4096), info("fast", 4096)]);
    bench.now += SECOND * 10;
    assert_eq!(unloading(&bench.arrive(1, "e", "c")), ["fast"]);
}

#[test]
fn a_remembered_context_shrinks_to_what_the_budget_holds() {
    let mut facts = budgeted("e", "cpu", &[]);
    let mut a = model("a", 4 * GB);
    a.context_bytes = Some(200_000);
    facts.models = Arc::new(vec![a]);
    let mut bench = SchedulerHarness::new(vec![facts]);
    let mut large = permit_request(1, "e", "a", bench.now);
    // The step of 16384 tokens would take 4 + 2 x 3.3 GB.
    large.prompt_tokens = 7000;
    let actions = bench.step(Input::Arrive(large.into()));
    assert_eq!(orders(&actions)[0].tuple.context, Some(8192));
    assert_eq!(orders(&actions)[0].over_budget_bytes, None);
}

#[test]
fn what_a_load_really_took_counts_from_then_on() {
    let mut bench = SchedulerHarness::new(vec![budgeted("e", "cpu", &[("a", 4), ("b", 4)])]);
    bench.arrive(1, "e", "a");
    let mut told = info("a", 4096);
    told.bytes = Some(7 * GB);
    bench.step(Input::Loaded("e".into(), told));
    bench.step(Input::Released(1));
    assert_eq!(unloading(&bench.arrive(2, "e", "b")), ["a"]);
}
