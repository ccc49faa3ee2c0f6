//! What stays, what goes by itself, and what is ours.

use super::*;
use crate::{
    catalog::ResidentInfo,
    scheduler::persisted::{OwnedResident, PersistedState},
};

fn with_ttl() -> EngineFacts {
    EngineFacts {
        model_ttl: Some(SECOND * 300),
        ..facts("e", "cpu")
    }
}

fn due(bench: &SchedulerHarness) -> Option<Duration> {
    let at = bench.core.next_deadline(bench.now)?;
    Some(at.saturating_duration_since(bench.now))
}

#[test]
fn an_idle_model_of_ours_goes_after_its_time() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        residents: vec![info("hand", 4096)],
        ..with_ttl()
    }]);
    bench.hold(1, "e", "m");
    assert_eq!(due(&bench), Some(SECOND * 300));
    bench.now += SECOND * 299;
    assert!(bench.step(Input::Tick).is_empty());
    assert_eq!(granted(&bench.arrive(2, "e", "m")), [2]);
    bench.now += SECOND * 100;
    // Busy is not idle.
    assert!(bench.step(Input::Tick).is_empty());
    bench.step(Input::Released(2));
    bench.now += SECOND * 300;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(evictions(&actions), [EvictionReason::Ttl]);
    assert_eq!(due(&bench), None);
}

#[test]
fn a_model_that_its_engine_expired_first_went_by_its_time_too() {
    let mut bench = SchedulerHarness::new(vec![with_ttl()]);
    bench.hold(1, "e", "m");
    bench.now += SECOND * 301;
    let actions = bench.polled("e", &[]);
    assert_eq!(evictions(&actions), [EvictionReason::Ttl]);
    assert!(unloading(&actions).is_empty());
}

/// Two failed polls after a load brought the list from before it, and the memory was given away.
#[test]
fn polls_that_fail_say_nothing_of_what_is_loaded() {
    let mut bench = SchedulerHarness::new(vec![with_ttl()]);
    bench.hold(1, "e", "m");
    bench.fleet[0].polls += 9;
    assert!(bench.step(Input::Fleet(bench.fleet.clone())).is_empty());
    assert_eq!(granted(&bench.arrive(2, "e", "m")), [2]);
    bench.step(Input::Released(2));
    let actions = bench.polled("e", &[]);
    assert_eq!(evictions(&actions), [EvictionReason::External]);
}

#[test]
fn an_unload_that_fails_at_its_time_is_not_tried_all_the_time() {
    let mut bench = SchedulerHarness::new(vec![with_ttl()]);
    bench.hold(1, "e", "m");
    bench.now += SECOND * 300;
    bench.step(Input::Tick);
    assert!(bench.step(Input::Unloaded("e".into(), false)).is_empty());
    assert_eq!(due(&bench), Some(SECOND * 2));
    assert!(bench.step(Input::Tick).is_empty());
}

fn pinning() -> (SchedulerHarness, Vec<Action>) {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        pinned_models: vec!["p".into()],
        ..with_ttl()
    }]);
    let mut pinned = permit_request(1, "e", "p", bench.now);
    pinned.pin = true;
    bench.step(Input::Arrive(pinned.into()));
    bench.loaded("e", "p", 4096);
    bench.step(Input::Released(1));
    bench.polled("e", &[info("p", 4096)]);
    let actions = bench.polled("e", &[]);
    (bench, actions)
}

#[test]
fn a_pinned_model_that_vanished_is_loaded_again() {
    let (mut bench, actions) = pinning();
    assert_eq!(evictions(&actions), [EvictionReason::External]);
    assert_eq!(loading(&actions), ["p"]);
    assert_eq!(orders(&actions)[0].trigger, LoadTrigger::Pin);
    let failed = LoadFailure::Refused("no".into());
    assert!(loading(&bench.step(Input::LoadFailed("e".into(), failed))).is_empty());
    assert_eq!(due(&bench), Some(SECOND * 2));
    bench.now += SECOND * 2;
    assert_eq!(loading(&bench.step(Input::Tick)), ["p"]);
    bench.loaded("e", "p", 4096);
    // It does not go by its time.
    bench.now += SECOND * 200;
    assert!(bench.step(Input::Tick).is_empty());
}

#[test]
fn a_model_that_is_no_longer_pinned_is_not_loaded_again() {
    let (mut bench, _) = pinning();
    bench.loaded("e", "p", 4096);
    bench.fleet[0].pinned_models.clear();
    assert!(loading(&bench.polled("e", &[])).is_empty());
}

#[test]
fn a_pinned_model_is_renewed_before_its_engine_forgets_it() {
    let (mut bench, _) = pinning();
    bench.loaded("e", "p", 4096);
    assert_eq!(due(&bench), Some(SECOND * 240));
    bench.now += SECOND * 240;
    let actions = bench.step(Input::Tick);
    assert_eq!(orders(&actions)[0].tuple.context, Some(4096));
    // It serves all the while, and that was no load.
    assert_eq!(granted(&bench.arrive(2, "e", "p")), [2]);
    assert!(bench.loaded("e", "p", 4096).is_empty());
    bench.step(Input::Released(2));
    assert_eq!(due(&bench), Some(SECOND * 240));
}

#[test]
fn what_came_back_with_another_context_is_used_where_it_suffices_but_is_not_ours() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        kind: EngineKind::Lmstudio,
        ..with_ttl()
    }]);
    bench.hold(1, "e", "m");
    bench.polled("e", &[info("m", 8192)]);
    assert_eq!(granted(&bench.arrive(2, "e", "m")), [2]);
    bench.step(Input::Released(2));
    bench.now += SECOND * 400;
    assert!(unloading(&bench.step(Input::Tick)).is_empty());
}

fn instance(name: &str, context: u64) -> ResidentInfo {
    ResidentInfo {
        instance: name.into(),
        ..info("m", context)
    }
}

#[test]
fn a_duplicate_is_reaped_when_it_is_idle_and_adds_nothing() {
    let held = EngineFacts {
        kind: EngineKind::Lmstudio,
        residents: vec![instance("m", 4096), instance("m:2", 4096)],
        ..facts("e", "gpu")
    };
    let mut bench = SchedulerHarness::new(vec![held.clone()]);
    assert_eq!(due(&bench), Some(SECOND * 30));
    bench.now += SECOND * 30;
    let actions = bench.step(Input::Tick);
    assert!(matches!(&actions[..], [Action::Unload(_, gone)] if &*gone.instance == "m:2"));
    // One with more context is none.
    let mut larger = held;
    larger.residents[1] = instance("m:2", 8192);
    assert_eq!(due(&SchedulerHarness::new(vec![larger])), None);
}

#[test]
fn what_an_earlier_run_loaded_is_ours_again() {
    let mut bench = SchedulerHarness::new(vec![with_ttl()]);
    bench.hold(1, "e", "m");
    let memory = bench.core.persisted_state();
    assert_eq!(memory.owned.len(), 1);
    assert_eq!(memory.contexts[0].tokens, 4096);
    let found = |context| EngineFacts {
        residents: vec![info("m", context)],
        ..with_ttl()
    };
    for (context, ours) in [(4096, true), (8192, false)] {
        let mut core = Scheduler::default();
        let now = bench.now;
        core.step(Input::Restore(memory.clone()), now, &mut Vec::new());
        core.step(Input::Fleet(vec![found(context)]), now, &mut Vec::new());
        assert_eq!(!core.persisted_state().owned.is_empty(), ours);
        let mut actions = Vec::new();
        core.step(Input::Drain(true), now, &mut actions);
        assert_eq!(!unloading(&actions).is_empty(), ours);
    }
}

#[test]
fn an_engine_that_is_away_keeps_what_is_known_of_it() {
    let memory = PersistedState {
        owned: vec![OwnedResident {
            url: "http://away".into(),
            engine: "away".into(),
            model: "m".into(),
            instance: "m".into(),
            context: Some(4096),
            tuple: LoadTuple::default(),
        }],
        contexts: Vec::new(),
    };
    let mut core = Scheduler::default();
    core.step(
        Input::Restore(memory.clone()),
        Instant::now(),
        &mut Vec::new(),
    );
    assert_eq!(core.persisted_state(), memory);
}

#[test]
fn the_largest_context_of_an_earlier_run_is_loaded_at_once() {
    let mut bench = SchedulerHarness::new(vec![with_ttl()]);
    let mut large = permit_request(1, "e", "m", bench.now);
    large.prompt_tokens = 6000;
    bench.step(Input::Arrive(large.into()));
    bench.loaded("e", "m", 16_384);
    let memory = bench.core.persisted_state();
    // Unless something else is configured since then, less or more.
    for (configured, expected) in [(4096, 16_384), (2048, 2048), (8192, 8192), (32_768, 32_768)] {
        bench.core = Scheduler::default();
        bench.step(Input::Restore(memory.clone()));
        bench.step(Input::Fleet(bench.fleet.clone()));
        let mut small = permit_request(2, "e", "m", bench.now);
        (small.configured_context, small.base_context) = (configured, configured);
        let actions = bench.step(Input::Arrive(small.into()));
        assert_eq!(orders(&actions)[0].tuple.context, Some(expected));
    }
}

#[test]
fn a_file_that_does_not_say_what_was_configured_is_believed_until_the_next_load() {
    let mut bench = SchedulerHarness::new(vec![with_ttl()]);
    let old = r#"{"contexts": [{"url": "http://e", "model": "m", "tokens": 16384}]}"#;
    bench.core = Scheduler::default();
    bench.step(Input::Restore(PersistedState::parse(old).unwrap()));
    bench.step(Input::Fleet(bench.fleet.clone()));
    let actions = bench.arrive(1, "e", "m");
    assert_eq!(orders(&actions)[0].tuple.context, Some(16_384));
    bench.loaded("e", "m", 16_384);
    let known = &bench.core.persisted_state().contexts[0];
    assert_eq!((known.tokens, known.configured), (16_384, Some(4096)));
}
