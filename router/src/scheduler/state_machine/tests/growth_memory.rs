//! A model that would grow where its pool or its engine has no memory for that.

use super::{
    growth::{asks, contexts, limit_of, reload, tight},
    *,
};

#[test]
fn growth_beside_what_is_pinned_is_as_large_as_fits_or_names_it() {
    let mut facts = tight();
    facts.pinned_models = vec!["b".into()];
    let mut bench = SchedulerHarness::new(vec![facts]);
    let mut pinned = permit_request(1, "e", "b", bench.now);
    pinned.pin = true;
    bench.step(Input::Arrive(pinned.into()));
    bench.loaded("e", "b", 4096);
    bench.step(Input::Released(1));
    bench.hold(2, "e", "m");
    // Beside it 2 GB are left: 5000 tokens for each of two.
    let actions = asks(&mut bench, 3, 4500, 2048);
    let (context, actions) = reload(&mut bench, &actions);
    assert!((4750..=5000).contains(&context), "{context}");
    assert_eq!(granted(&actions), [3]);
    bench.step(Input::Released(3));
    let actions = asks(&mut bench, 4, 8000, 1024);
    let (prompt, _, limit, bound) = limit_of(&actions);
    assert_eq!((prompt, limit), (8000, 4999));
    assert!(
        matches!(bound, ContextBound::Pinned { model, .. } if **model == *"b"),
        "{bound:?}"
    );
    assert_eq!(granted(&asks(&mut bench, 5, 10, 1024)), [5]);
}

#[test]
fn a_first_prompt_too_long_beside_what_is_pinned_is_told_what_fits() {
    for (kind, most) in [
        (EngineKind::Ollama, 4999),
        (EngineKind::Llamacpp, 9999),
        (EngineKind::Lmstudio, 9999),
    ] {
        let mut facts = tight();
        facts.kind = kind;
        facts.pinned_models = vec!["b".into()];
        let mut bench = SchedulerHarness::new(vec![facts]);
        let mut pinned = permit_request(1, "e", "b", bench.now);
        pinned.pin = true;
        bench.step(Input::Arrive(pinned.into()));
        bench.loaded("e", "b", 4096);
        bench.step(Input::Released(1));
        let actions = asks(&mut bench, 2, 12_000, 1024);
        let (_, _, limit, bound) = limit_of(&actions);
        assert!(matches!(bound, ContextBound::Pinned { .. }), "{bound:?}");
        assert_eq!(limit, most, "{kind:?}");
        // What is told is true.
        let actions = asks(&mut bench, 3, limit - 10, 1024);
        assert!(refused(&actions).is_empty(), "{kind:?}: {actions:?}");
        assert_eq!(contexts(&actions).len(), 1, "{kind:?}: {actions:?}");
    }
}

#[test]
fn the_memory_bounds_growth_and_refuses_only_what_its_prompt_exceeds() {
    // 6 GB are left for the context: 15000 tokens for each of two.
    for (prompt, reserve, outcome) in [
        (7000, 1024, Ok(14_336)),
        (14_500, 2048, Ok(15_000)),
        (14_999, 2048, Ok(15_000)),
        (15_000, 2048, Err(15_000)),
        (60_000, 2048, Err(15_000)),
    ] {
        let what = format!("{prompt} + {reserve}");
        let mut bench = SchedulerHarness::new(vec![tight()]);
        let actions = asks(&mut bench, 1, prompt, reserve);
        match outcome {
            Ok(most) => {
                let context = contexts(&actions)[0];
                assert!(context > prompt && context <= most, "{what}: {context}");
                assert_eq!(granted(&bench.loaded("e", "m", context)), [1], "{what}");
            }
            Err(most) => {
                let (p, _, limit, bound) = limit_of(&actions);
                assert_eq!((p, limit), (prompt, most), "{what}");
                assert!(matches!(bound, ContextBound::Memory { .. }), "{bound:?}");
            }
        }
    }
}

#[test]
fn where_slots_share_a_context_fewer_of_them_have_more() {
    let mut facts = tight();
    facts.kind = EngineKind::Lmstudio;
    let mut bench = SchedulerHarness::new(vec![facts]);
    let actions = asks(&mut bench, 1, 20_000, 1024);
    let [order] = orders(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(order.permits, 1);
    assert!(order.tuple.context >= Some(21_024), "{order:?}");
    assert_eq!(order.over_budget_bytes, None);
}

#[test]
fn memory_that_is_only_assumed_refuses_nothing() {
    let mut facts = tight();
    for model in Arc::make_mut(&mut facts.models) {
        model.context_bytes = None;
    }
    let mut bench = SchedulerHarness::new(vec![facts]);
    assert!(contexts(&asks(&mut bench, 1, 60_000, 1024))[0] >= 61_024);
}

#[test]
fn an_engine_without_memory_for_a_step_is_asked_for_less_and_that_is_remembered() {
    let short = || {
        let words = LoadFailure::OutOfMemory("out of memory".into());
        Input::LoadFailed("e".into(), words)
    };
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    let actions = asks(&mut bench, 2, 14_000, 1024);
    assert_eq!(unloading(&actions), ["m"]);
    let mut actions = bench.step(Input::Unloaded("e".into(), true));
    let mut tried = contexts(&actions);
    while tried.last().is_some_and(|last| *last > 15_100) {
        actions = bench.step(short());
        assert!(refused(&actions).is_empty(), "{actions:?}");
        tried.extend(contexts(&actions));
    }
    assert_eq!(tried, [32_768, 16_384, 15_024]);
    assert_eq!(granted(&bench.loaded("e", "m", 15_024)), [2]);
    bench.step(Input::Released(2));
    // What it could not load is not tried for the next one, which is told, and what is there stays.
    let actions = asks(&mut bench, 3, 20_000, 1024);
    assert!(
        matches!(refused(&actions)[..], [(3, Refusal::LoadFailed { .. })]),
        "{actions:?}"
    );
    assert_eq!(granted(&asks(&mut bench, 4, 14_500, 2048)), [4]);
}

#[test]
fn an_engine_without_memory_for_any_growth_still_loads_for_those_who_need_none() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    asks(&mut bench, 1, 14_000, 1024);
    asks(&mut bench, 2, 10, 1024);
    let mut tried = Vec::new();
    let mut lost = Vec::new();
    for _ in 0..8 {
        let words = LoadFailure::OutOfMemory("out of memory".into());
        let actions = bench.step(Input::LoadFailed("e".into(), words));
        lost.extend(refused(&actions).iter().map(|(ticket, _)| *ticket));
        tried.extend(contexts(&actions));
        if tried.last() == Some(&4096) {
            break;
        }
    }
    assert_eq!(lost, [1]);
    assert!(tried.is_sorted_by(|a, b| a > b), "{tried:?}");
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [2]);
}
