//! Loads that end without a word of the engine: what they may have taken is not given to others.

use super::{memory::budgeted, *};

/// Two engines in a pool of 10 GB, each with a model of 6 GB; a load of the first was given up.
fn given_up(failure: LoadFailure) -> SchedulerHarness {
    let mut bench = SchedulerHarness::new(vec![
        budgeted("e", "gpu", &[("a", 6), ("c", 6)]),
        budgeted("f", "gpu", &[("b", 6), ("small", 3)]),
    ]);
    bench.arrive(1, "e", "a");
    bench.step(Input::LoadFailed("e".into(), failure));
    bench
}

fn unheard() -> [LoadFailure; 2] {
    let broken = LoadFailure::ConnectionLost("unreachable: connection reset".into());
    [LoadFailure::Timeout, broken]
}

/// A poll of the first engine that failed.
fn silent(bench: &mut SchedulerHarness) -> Vec<Action> {
    bench.fleet[0].polls += 2;
    bench.fleet[0].last_poll_answered = false;
    bench.step(Input::Fleet(bench.fleet.clone()))
}

#[test]
fn what_a_load_without_an_end_may_hold_counts_until_the_engine_tells() {
    for failure in unheard() {
        let mut bench = given_up(failure);
        assert!(bench.arrive(2, "f", "b").is_empty());
        // What fits beside it is loaded.
        assert_eq!(loading(&bench.arrive(3, "f", "small")), ["small"]);
        assert_eq!(granted(&bench.loaded("f", "small", 4096)), [3]);
        bench.step(Input::Released(3));
        for _ in 0..5 {
            bench.now += SECOND * 5;
            assert!(loading(&silent(&mut bench)).is_empty());
        }
        assert!(bench.core.engine("e").unwrap().held_bytes() >= 6 * GB);
    }
}

#[test]
fn its_memory_is_free_once_the_engine_lists_nothing_or_nobody_listens() {
    for failure in unheard() {
        let mut bench = given_up(failure);
        assert!(bench.arrive(2, "f", "b").is_empty());
        assert!(bench.arrive(3, "e", "c").is_empty());
        // A connection that is refused counts as a list without anything.
        assert_eq!(loading(&bench.polled("e", &[])), ["b"]);
        assert_eq!(bench.core.engine("e").unwrap().held_bytes(), 0);
    }
}

#[test]
fn what_came_of_it_counts_once_and_makes_room() {
    let mut bench = given_up(LoadFailure::Timeout);
    assert!(bench.arrive(2, "f", "b").is_empty());
    let held = ResidentInfo {
        bytes: Some(6 * GB),
        ..info("a", 4096)
    };
    assert_eq!(unloading(&bench.polled("e", &[held])), ["a"]);
    assert!(bench.core.engine("e").unwrap().held_bytes() >= 6 * GB);
}

#[test]
fn a_load_that_the_engine_itself_refused_holds_nothing() {
    for words in ["unknown model architecture", "out of memory"] {
        let mut bench = given_up(LoadFailure::classify(words.into()));
        assert_eq!(loading(&bench.arrive(2, "f", "b")), ["b"], "{words}");
    }
}
