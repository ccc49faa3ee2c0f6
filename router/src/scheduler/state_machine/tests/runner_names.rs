//! Names over the same weights: one runner, one resident.

use super::*;
use crate::{
    plan::fixture::generation,
    scheduler::persisted::{ContextRecord, OwnedResident, PersistedState},
};

/// An engine whose names `a`, `b` and `c` are one runner; `c` is loaded with other options.
fn engine() -> EngineFacts {
    let models = ["a", "b", "c", "m"].map(|name| {
        let mut model = generation(name);
        if name != "m" {
            model.runner = "a".into();
        }
        model
    });
    EngineFacts {
        models: Arc::new(models.to_vec()),
        option_variants: [("c".into(), 7)].into(),
        ..facts("e", "cpu")
    }
}

fn asks(bench: &mut SchedulerHarness, ticket: u64, name: &str) -> Vec<Action> {
    let mut request = permit_request(ticket, "e", "a", bench.now);
    request.name = name.into();
    bench.step(Input::Arrive(request.into()))
}

/// The engine lists what it loaded by the name that it was loaded by.
fn listed(name: &str, context: u64) -> ResidentInfo {
    ResidentInfo {
        model: "a".into(),
        ..info(name, context)
    }
}

fn loaded(bench: &mut SchedulerHarness, name: &str) -> Vec<Action> {
    bench.step(Input::Loaded("e".into(), listed(name, 4096)))
}

fn names(actions: &[Action]) -> Vec<&str> {
    orders(actions).into_iter().map(|o| &*o.name).collect()
}

#[test]
fn one_load_serves_all_names_and_is_made_by_the_one_that_was_asked_for() {
    let mut bench = SchedulerHarness::new(vec![engine()]);
    assert_eq!(names(&asks(&mut bench, 1, "b")), ["b"]);
    assert!(
        asks(&mut bench, 2, "a").is_empty(),
        "it waits for that load"
    );
    let granted = granted(&loaded(&mut bench, "b"));
    assert_eq!(granted, [1, 2]);
    // The poll lists one name; the others are no others.
    assert!(bench.polled("e", &[listed("b", 4096)]).is_empty());
    bench.step(Input::Released(1));
    assert_eq!(super::granted(&asks(&mut bench, 3, "a")), [3]);
}

#[test]
fn a_name_with_other_options_waits_until_the_runner_is_idle() {
    let mut bench = SchedulerHarness::new(vec![engine()]);
    asks(&mut bench, 1, "a");
    loaded(&mut bench, "a");
    assert!(asks(&mut bench, 2, "c").is_empty(), "it is busy");
    let actions = bench.step(Input::Released(1));
    assert_eq!(unloading(&actions), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(evictions(&actions), [EvictionReason::Conflict]);
    assert_eq!(names(&actions), ["c"]);
    assert_eq!(granted(&loaded(&mut bench, "c")), [2]);
}

#[test]
fn what_is_pinned_or_a_persons_is_not_loaded_anew_with_other_options() {
    for (pinned, owned) in [(true, true), (false, false)] {
        let mut bench = SchedulerHarness::new(vec![engine()]);
        if owned {
            let mut first = permit_request(1, "e", "a", bench.now);
            first.pin = pinned;
            bench.step(Input::Arrive(first.into()));
            loaded(&mut bench, "a");
            bench.step(Input::Released(1));
        } else {
            bench.polled("e", &[listed("b", 4096)]);
        }
        let actions = asks(&mut bench, 2, "c");
        assert!(unloading(&actions).is_empty());
        let refusal = refused(&actions)[0].1.to_string();
        let held = if owned { "'a'" } else { "'b'" };
        assert!(refusal.contains(held) && refusal.contains('c'), "{refusal}");
        assert_eq!(granted(&asks(&mut bench, 3, "b")), [3]);
    }
}

#[test]
fn what_a_person_loaded_is_asked_for_with_the_options_of_its_name() {
    let mut engine = engine();
    let mut models = engine.models.to_vec();
    let load = [("num_thread", "3"), ("use_mmap", "false"), ("num_ctx", "9")];
    let load = load.map(|(k, v)| (k.to_owned(), v.to_owned()));
    models[1].load = Arc::new(load.into());
    engine.models = Arc::new(models);
    let mut bench = SchedulerHarness::new(vec![engine]);
    bench.polled("e", &[listed("b", 6000)]);
    let actions = asks(&mut bench, 1, "a");
    let Some(Action::Grant(grant)) = actions.first() else {
        panic!("{actions:?}");
    };
    let expected = LoadTuple {
        context: Some(6000),
        threads: Some(3),
        mmap: Some(false),
        as_loaded: true,
        ..LoadTuple::default()
    };
    assert_eq!(grant.tuple, expected);
}

#[test]
fn that_names_share_a_runner_may_become_known_late() {
    let mut late = engine();
    let known = Arc::clone(&late.models);
    late.models = Arc::default();
    let mut bench = SchedulerHarness::new(vec![late]);
    // Both are asked for by their own names, the load of the second is in flight.
    let b = permit_request(1, "e", "b", bench.now);
    bench.step(Input::Arrive(b.into()));
    bench.fleet[0].models = known;
    bench.polled("e", &[]);
    assert_eq!(granted(&loaded(&mut bench, "b")), [1]);
    bench.polled("e", &[listed("b", 4096)]);
    assert_eq!(granted(&asks(&mut bench, 2, "a")), [2]);
    let memory = bench.core.persisted_state();
    assert_eq!((memory.owned.len(), &*memory.owned[0].model), (1, "a"));
}

#[test]
fn what_an_earlier_run_knew_by_one_name_is_known_by_the_others() {
    let memory = PersistedState {
        owned: vec![OwnedResident {
            url: "http://e".into(),
            engine: "e".into(),
            model: "b".into(),
            instance: "b".into(),
            context: Some(8192),
            tuple: LoadTuple::default(),
        }],
        contexts: vec![ContextRecord {
            url: "http://e".into(),
            model: "b".into(),
            tokens: 16_384,
            configured: None,
        }],
    };
    let mut bench = SchedulerHarness::new(Vec::new());
    bench.step(Input::Restore(memory));
    bench.fleet = vec![EngineFacts {
        residents: vec![listed("b", 8192)],
        ..engine()
    }];
    bench.step(Input::Fleet(bench.fleet.clone()));
    let memory = bench.core.persisted_state();
    assert_eq!(&*memory.owned[0].model, "a");
    bench.polled("e", &[]);
    let actions = asks(&mut bench, 1, "a");
    assert_eq!(orders(&actions)[0].tuple.context, Some(16_384));
}
