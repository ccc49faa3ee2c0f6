//! What an engine lost and loaded again behind Crucible's back.

use super::*;

fn lmstudio() -> EngineFacts {
    EngineFacts {
        kind: EngineKind::Lmstudio,
        ..facts("e", "gpu")
    }
}

fn instance(model: &str, instance: &str, context: u64) -> ResidentInfo {
    ResidentInfo {
        instance: instance.into(),
        ..info(model, context)
    }
}

fn owned(bench: &SchedulerHarness) -> Vec<String> {
    let memory = bench.core.persisted_state();
    memory
        .owned
        .iter()
        .map(|o| o.instance.to_string())
        .collect()
}

#[test]
fn what_comes_back_smaller_is_ours_and_is_loaded_anew_once_it_is_idle() {
    let mut bench = SchedulerHarness::new(vec![lmstudio()]);
    bench.hold(1, "e", "m");
    assert_eq!(granted(&bench.arrive(2, "e", "m")), [2]);
    assert!(bench.polled("e", &[info("m", 2048)]).is_empty());
    assert_eq!(owned(&bench), ["m"]);
    // It is never taken from who uses it.
    assert!(bench.arrive(4, "e", "m").is_empty());
    let actions = bench.step(Input::Released(2));
    assert_eq!(unloading(&actions), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(orders(&actions)[0].tuple.context, Some(4096));
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [4]);
    // It is what it was.
    bench.polled("e", &[info("m", 4096)]);
    bench.step(Input::Released(4));
    assert_eq!(granted(&bench.arrive(5, "e", "m")), [5]);
}

#[test]
fn one_that_will_not_go_serves_what_fits() {
    let mut bench = SchedulerHarness::new(vec![lmstudio()]);
    bench.hold(1, "e", "m");
    bench.polled("e", &[info("m", 2048)]);
    assert_eq!(unloading(&bench.arrive(2, "e", "m")), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), false));
    assert_eq!(granted(&actions), [2]);
}

#[test]
fn while_another_is_loaded_it_serves_what_fits() {
    let mut bench = SchedulerHarness::new(vec![lmstudio()]);
    bench.hold(1, "e", "m");
    bench.polled("e", &[info("m", 2048)]);
    assert_eq!(loading(&bench.arrive(2, "e", "other")), ["other"]);
    assert_eq!(granted(&bench.arrive(3, "e", "m")), [3]);
}

#[test]
fn whose_it_is_depends_on_how_it_came_back() {
    let second = || instance("m", "m:2", 4096);
    for (kind, loaded, listed, ours) in [
        // With less, under the same name or another.
        (EngineKind::Lmstudio, info("m", 4096), info("m", 2048), true),
        (EngineKind::Lmstudio, second(), info("m", 2048), true),
        // A person wants more of it.
        (
            EngineKind::Lmstudio,
            info("m", 4096),
            info("m", 8192),
            false,
        ),
        (EngineKind::Lmstudio, second(), info("m", 8192), false),
        // Ollama loads nothing by itself: another client asked for less.
        (EngineKind::Ollama, info("m", 4096), info("m", 2048), false),
        (EngineKind::Lmstudio, info("m", 4096), info("m", 4096), true),
    ] {
        let mut bench = SchedulerHarness::new(vec![EngineFacts { kind, ..lmstudio() }]);
        bench.arrive(1, "e", "m");
        bench.step(Input::Loaded("e".into(), loaded.clone()));
        bench.step(Input::Released(1));
        bench.polled("e", std::slice::from_ref(&listed));
        let expected: &[&str] = if ours { &["m"] } else { &[] };
        assert_eq!(owned(&bench), expected, "{loaded:?} {listed:?}");
    }
    // What a person loaded is theirs whatever becomes of it.
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        residents: vec![info("m", 4096)],
        ..lmstudio()
    }]);
    bench.polled("e", &[info("m", 2048)]);
    assert_eq!(owned(&bench), [""; 0]);
    assert_eq!(granted(&bench.arrive(1, "e", "m")), [1]);
}

/// A request for it was granted what was gone, as long as a load of another took.
#[test]
fn what_goes_while_another_is_loaded_is_gone_at_once() {
    let mut bench = SchedulerHarness::new(vec![lmstudio()]);
    bench.hold(1, "e", "m");
    assert_eq!(loading(&bench.arrive(2, "e", "other")), ["other"]);
    let actions = bench.polled("e", &[]);
    assert_eq!(evictions(&actions), [EvictionReason::External]);
    assert!(granted(&bench.arrive(3, "e", "m")).is_empty());
    // Of what is being loaded a list says nothing yet.
    bench.polled("e", &[info("other", 4096)]);
    assert_eq!(owned(&bench), [""; 0]);
    let actions = bench.loaded("e", "other", 4096);
    assert_eq!((granted(&actions), loading(&actions)), (vec![2], vec!["m"]));
}

/// LM Studio loads a model once for each request that finds it gone.
#[test]
fn every_instance_that_came_back_smaller_is_ours_once_none_of_them_may_serve() {
    let small = |id: &str| instance("m", id, 2048);
    for released_first in [false, true] {
        let mut bench = SchedulerHarness::new(vec![lmstudio()]);
        bench.hold(1, "e", "m");
        assert_eq!(granted(&bench.arrive(2, "e", "m")), [2]);
        bench.step(Input::Released(1));
        if released_first {
            // Gone with its last permit before what came in its place was listed.
            bench.polled("e", &[]);
            bench.step(Input::Released(2));
            bench.polled("e", &[]);
        }
        bench.polled("e", &[small("m"), small("m:2")]);
        if !released_first {
            assert_eq!(owned(&bench), ["m"]);
            bench.step(Input::Released(2));
            bench.polled("e", &[small("m"), small("m:2")]);
        }
        assert_eq!(owned(&bench), ["m", "m:2"], "{released_first}");
        // Both go before it is loaded with its context.
        assert_eq!(unloading(&bench.arrive(3, "e", "m")), ["m"]);
        assert_eq!(
            unloading(&bench.step(Input::Unloaded("e".into(), true))),
            ["m"]
        );
        let actions = bench.step(Input::Unloaded("e".into(), true));
        assert_eq!(orders(&actions)[0].tuple.context, Some(4096));
    }
}

#[test]
fn what_a_person_loads_long_after_is_theirs() {
    let mut bench = SchedulerHarness::new(vec![lmstudio()]);
    bench.hold(1, "e", "m");
    bench.polled("e", &[]);
    bench.now += SECOND * 120;
    bench.polled("e", &[info("m", 2048)]);
    assert_eq!(owned(&bench), [""; 0]);
}

#[test]
fn a_load_that_finds_less_there_takes_it_and_makes_it_grow() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        grow_foreign: true,
        ..lmstudio()
    }]);
    assert_eq!(loading(&bench.arrive(1, "e", "m")), ["m"]);
    let found = Input::FoundLoaded("e".into(), instance("m", "m:2", 8));
    let actions = bench.step(found);
    assert!(refused(&actions).is_empty(), "{actions:?}");
    assert_eq!(unloading(&actions), ["m"], "{actions:?}");
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(orders(&actions)[0].tuple.context, Some(4096));
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [1]);
}
