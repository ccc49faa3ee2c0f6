//! What others got wrong, step by step (issues of the field, by their own numbers).

use super::{memory::budgeted, *};

fn one_at_a_time() -> SchedulerHarness {
    SchedulerHarness::new(vec![EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    }])
}

/// llama.cpp 21678, LM Studio bug tracker 671: a model was evicted while it answered.
#[test]
fn a_busy_model_is_not_evicted() {
    let mut bench = one_at_a_time();
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    assert!(bench.arrive(2, "e", "b").is_empty());
    bench.now += SECOND * 100;
    assert!(bench.step(Input::Tick).is_empty());
    assert_eq!(unloading(&bench.step(Input::Released(1))), ["a"]);
}

/// llama.cpp 28443, llama-swap 612: requests for the loaded model came for ever, and the one for
/// another model never had its turn.
#[test]
fn a_queued_request_does_not_starve() {
    let mut bench = one_at_a_time();
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    assert!(bench.arrive(2, "e", "b").is_empty());
    let mut running = vec![1];
    for ticket in 3..40 {
        bench.now += SECOND;
        let mut actions = bench.arrive(ticket, "e", "a");
        let done = running.pop();
        if let Some(done) = done {
            actions.extend(bench.step(Input::Released(done)));
        }
        running.extend(granted(&actions));
        if unloading(&actions) == ["a"] {
            return;
        }
    }
    panic!("it waits for ever");
}

/// llama.cpp 28698, 29217: what was just loaded for a request was evicted before it was used.
#[test]
fn a_fresh_model_serves_before_it_goes() {
    let mut bench = SchedulerHarness::new(vec![budgeted("e", "cpu", &[("a", 6), ("b", 6)])]);
    bench.arrive(1, "e", "a");
    bench.arrive(2, "e", "b");
    let actions = bench.loaded("e", "a", 4096);
    assert_eq!(granted(&actions), [1]);
    assert!(unloading(&actions).is_empty());
    assert_eq!(unloading(&bench.step(Input::Released(1))), ["a"]);
    // Room was made for b: a newer request for a does not take it.
    bench.arrive(3, "e", "a");
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["b"]);
    let actions = bench.loaded("e", "b", 4096);
    assert_eq!(granted(&actions), [2]);
    assert!(unloading(&actions).is_empty());
}

/// Ollama 8006, 9016, 9625: the first client of a load left, and all who waited lost it.
#[test]
fn an_impatient_client_ends_nobodys_load() {
    let mut bench = one_at_a_time();
    assert_eq!(loading(&bench.arrive(1, "e", "a")), ["a"]);
    bench.arrive(2, "e", "a");
    assert!(bench.step(Input::Cancelled(1)).is_empty());
    let actions = bench.loaded("e", "a", 4096);
    assert_eq!(granted(&actions), [2]);
}

/// llama-swap 946 and its like: a load was started for a client that had gone.
#[test]
fn no_load_starts_for_who_has_left() {
    let mut bench = one_at_a_time();
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    bench.arrive(2, "e", "b");
    bench.step(Input::Cancelled(2));
    assert!(bench.step(Input::Released(1)).is_empty());
}

/// LM Studio 1562, 1631: memory that an eviction frees was not counted, and the load stayed
/// refused.
#[test]
fn a_load_that_was_out_of_memory_is_tried_again_when_memory_came_free() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "gpu"), facts("f", "gpu")]);
    bench.hold(1, "f", "other");
    bench.arrive(2, "e", "m");
    let words = LoadFailure::classify("insufficient system resources".into());
    let actions = bench.step(Input::LoadFailed("e".into(), words));
    let told = |a: &Action| {
        matches!(
            a,
            Action::Emit(Event::Load {
                outcome: LoadOutcome::Oom,
                ..
            })
        )
    };
    assert!(actions.iter().any(told), "{actions:?}");
    assert_eq!(refused(&bench.arrive(3, "e", "m")).len(), 1);
    bench.polled("f", &[]);
    assert_eq!(loading(&bench.arrive(4, "e", "m")), ["m"]);
}

fn wedged(actions: &[Action]) -> bool {
    let told = |a: &Action| matches!(a, Action::Emit(Event::Wedged { .. }));
    actions.iter().any(told)
}

/// Its health tells that already.
#[test]
fn an_engine_that_fails_its_polls_too_is_not_called_wedged() {
    let mut bench = one_at_a_time();
    bench.arrive(1, "e", "a");
    bench.polled("e", &[]);
    bench.fleet[0].polls += 4;
    bench.fleet[0].last_poll_answered = false;
    // Nobody listens there any more, so nothing is resident.
    bench.fleet[0].listing_poll = bench.fleet[0].polls;
    bench.step(Input::Fleet(bench.fleet.clone()));
    bench.now += SECOND * 310;
    let actions = bench.step(Input::Tick);
    assert_eq!(refused(&actions).len(), 1, "{actions:?}");
    assert!(!wedged(&actions), "{actions:?}");
}

/// LM Studio 2295, Ollama 17408: a load that never ends held everything behind it.
#[test]
fn a_load_that_never_ends_gives_its_pool_back() {
    let mut bench = one_at_a_time();
    bench.arrive(1, "e", "a");
    for _ in 0..2 {
        bench.polled("e", &[]);
    }
    let due = bench.core.next_deadline(bench.now);
    // First, the client's own wait ends.
    assert_eq!(due, Some(bench.now + SECOND * 300));
    bench.now += SECOND * 310;
    let actions = bench.step(Input::Tick);
    assert!(wedged(&actions), "{actions:?}");
    assert_eq!(loading(&bench.arrive(2, "e", "b")), ["b"]);
    // Its late end is not taken for that of another.
    assert!(granted(&bench.loaded("e", "a", 4096)).is_empty());
    assert_eq!(granted(&bench.loaded("e", "b", 4096)), [2]);
    bench.step(Input::Released(2));
    // What came of it is ours, and makes room for others.
    bench.polled("e", &[info("a", 4096), info("b", 4096)]);
    assert_eq!(bench.core.persisted_state().owned.len(), 2);
}
