//! Queues, lanes and turns.

use super::*;

#[test]
fn waiters_share_one_load_and_a_cancelled_one_is_not_granted() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    assert_eq!(loading(&bench.arrive(1, "e", "m")), ["m"]);
    assert!(bench.arrive(2, "e", "m").is_empty());
    assert!(bench.arrive(3, "e", "m").is_empty());
    bench.step(Input::Cancelled(1));
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [2, 3]);
}

#[test]
fn embeddings_have_a_lane_of_their_own() {
    let limited = EngineFacts {
        max_loaded_models: 1,
        permits_per_resident: 1,
        queue_limit: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![limited]);
    bench.arrive(1, "e", "chat");
    bench.loaded("e", "chat", 4096);
    let embed = |bench: &mut SchedulerHarness, ticket| {
        let mut embed = permit_request(ticket, "e", "embed", bench.now);
        (embed.kind, embed.prompt_tokens, embed.tuple) =
            (ModelKind::Embedding, 0, LoadTuple::default());
        bench.step(Input::Arrive(embed.into()))
    };
    // It is loaded beside the one generation model that may be there.
    assert_eq!(loading(&embed(&mut bench, 2)), ["embed"]);
    assert_eq!(granted(&bench.loaded("e", "embed", 512)), [2]);
    assert!(embed(&mut bench, 3).is_empty());
    assert!(matches!(
        refused(&embed(&mut bench, 4))[..],
        [(4, Refusal::QueueFull { limit: 1, .. })]
    ));
    // The embedding that waits takes no place in the queue of generations.
    assert!(bench.arrive(5, "e", "chat").is_empty());
    assert_eq!(granted(&bench.step(Input::Released(1))), [5]);
    assert_eq!(granted(&bench.step(Input::Released(2))), [3]);
}

#[test]
fn a_full_queue_starts_no_load() {
    let short = EngineFacts {
        queue_limit: 1,
        permits_per_resident: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![short]);
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    bench.arrive(2, "e", "a");
    let actions = bench.arrive(3, "e", "b");
    assert!(loading(&actions).is_empty());
    assert!(matches!(
        refused(&actions)[..],
        [(
            3,
            Refusal::QueueFull {
                retry_after: 15,
                ..
            }
        )]
    ));
    bench.now += SECOND * 30;
    // The measured answer took 30 s, and two are in the queue now.
    assert_eq!(granted(&bench.step(Input::Released(1))), [2]);
    bench.arrive(4, "e", "a");
    let actions = bench.arrive(5, "e", "a");
    assert!(matches!(
        refused(&actions)[..],
        [(
            5,
            Refusal::QueueFull {
                retry_after: 60,
                ..
            }
        )]
    ));
}

#[test]
fn a_wait_ends_exactly_at_its_deadline() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    let mut soon = permit_request(1, "e", "m", bench.now);
    soon.deadline = bench.now + Duration::from_millis(137);
    bench.step(Input::Arrive(soon.clone().into()));
    assert_eq!(bench.core.next_deadline(bench.now), Some(soon.deadline));
    bench.now = soon.deadline;
    let actions = bench.step(Input::Tick);
    assert!(matches!(
        refused(&actions)[..],
        [(1, Refusal::QueueTimeout { .. })]
    ));
}

#[test]
fn loads_of_a_pool_go_by_arrival_and_an_exclusive_pool_waits_for_all() {
    let alone = EngineFacts {
        exclusive: true,
        ..facts("a", "gpu")
    };
    let mut bench = SchedulerHarness::new(vec![
        alone,
        facts("b", "cpu"),
        facts("c", "cpu"),
        facts("d", "disk"),
    ]);
    assert_eq!(loading(&bench.arrive(1, "c", "first")), ["first"]);
    assert!(bench.arrive(2, "a", "alone").is_empty());
    assert!(bench.arrive(3, "c", "later").is_empty());
    assert!(bench.arrive(4, "b", "last").is_empty());
    // A free pool does not overtake the exclusive one for ever.
    assert!(bench.arrive(5, "d", "free").is_empty());
    assert_eq!(loading(&bench.loaded("c", "first", 4096)), ["alone"]);
    let mut both = loading(&bench.loaded("a", "alone", 4096))
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    both.sort();
    assert_eq!(both, ["free", "later"]);
    assert_eq!(loading(&bench.loaded("c", "later", 4096)), ["last"]);
}

#[test]
fn an_engine_that_is_removed_answers_its_waiters() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu"), facts("f", "gpu")]);
    bench.arrive(1, "e", "m");
    let actions = bench.step(Input::Fleet(vec![facts("f", "gpu")]));
    assert!(matches!(
        refused(&actions)[..],
        [(1, Refusal::NoEngine { .. })]
    ));
    assert!(
        bench
            .loaded("e", "m", 4096)
            .iter()
            .all(|a| matches!(a, Action::Emit(_)))
    );
}

#[test]
fn a_waiting_swap_is_overtaken_only_so_often() {
    let limited = EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![limited]);
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    assert!(bench.arrive(2, "e", "b").is_empty());
    for ticket in 3..=5 {
        assert_eq!(granted(&bench.arrive(ticket, "e", "a")), [ticket]);
        bench.step(Input::Released(ticket));
    }
    assert!(bench.arrive(6, "e", "a").is_empty());
    assert_eq!(unloading(&bench.step(Input::Released(1))), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(evictions(&actions), [EvictionReason::Limit]);
    assert_eq!(loading(&actions), ["b"]);
}

#[test]
fn what_was_just_loaded_serves_all_who_wait_for_it_though_an_older_swap_waits() {
    let limited = EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![limited]);
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    for (ticket, model) in [(2, "b"), (3, "c"), (4, "b")] {
        assert!(bench.arrive(ticket, "e", model).is_empty());
    }
    // Longer than any swap may be overtaken.
    bench.now += SECOND * 60;
    assert_eq!(unloading(&bench.step(Input::Released(1))), ["a"]);
    bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(granted(&bench.loaded("e", "b", 4096)), [2, 4]);
    bench.now += SECOND * 60;
    assert!(bench.arrive(5, "e", "b").is_empty());
}

#[test]
fn the_queue_says_what_each_waits_for() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        max_loaded_models: 1,
        permits_per_resident: 1,
        ..facts("e", "cpu")
    }]);
    bench.arrive(1, "e", "a");
    let reasons = |bench: &SchedulerHarness| -> Vec<(u32, &'static str)> {
        let queue = bench.core.queue_view(bench.now);
        queue.iter().map(|w| (w.position, w.reason)).collect()
    };
    assert_eq!(reasons(&bench), [(1, "load")]);
    bench.loaded("e", "a", 4096);
    bench.arrive(2, "e", "a");
    bench.arrive(3, "e", "b");
    assert_eq!(reasons(&bench), [(1, "slot"), (2, "swap")]);
}
