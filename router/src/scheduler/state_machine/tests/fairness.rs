//! Clients, classes, replaced requests, and what is said of a wait.

use super::*;

/// One permit, so that the order of the grants shows.
fn narrow() -> SchedulerHarness {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        permits_per_resident: 1,
        queue_limit: 100,
        ..facts("e", "cpu")
    }]);
    bench.arrive(1, "e", "m");
    bench.loaded("e", "m", 4096);
    bench
}

fn of(bench: &mut SchedulerHarness, ticket: u64, client: &str, class: Class) {
    let mut request = permit_request(ticket, "e", "m", bench.now);
    (request.client, request.class) = (ClientId::of_key(client), class);
    assert!(bench.step(Input::Arrive(request.into())).is_empty());
}

/// Each is released when the next is to be granted.
fn order(bench: &mut SchedulerHarness, count: usize) -> Vec<u64> {
    let mut order = vec![1];
    for _ in 0..count {
        let last = order[order.len() - 1];
        order.extend(granted(&bench.step(Input::Released(last))));
    }
    order.split_off(1)
}

#[test]
fn one_client_with_much_does_not_shut_out_another() {
    let mut bench = narrow();
    for ticket in 2..=5 {
        of(&mut bench, ticket, "batch", Class::Interactive);
    }
    of(&mut bench, 6, "laptop", Class::Interactive);
    assert_eq!(order(&mut bench, 5), [2, 6, 3, 4, 5]);
}

/// Room for one; `a` is loaded and busy, with ticket 1.
fn crowded(loads: &[(&str, u32)]) -> SchedulerHarness {
    let loads = loads.iter().map(|(m, s)| ((*m).into(), SECOND * *s));
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        max_loaded_models: 1,
        permits_per_resident: 1,
        queue_limit: 100,
        load_times: loads.collect(),
        ..facts("e", "cpu")
    }]);
    bench.arrive(1, "e", "a");
    bench.loaded("e", "a", 4096);
    bench
}

/// Grants one model after the other, each to one request; gives them in order of their loads.
fn loads(bench: &mut SchedulerHarness, first: u64) -> Vec<String> {
    let mut loads = Vec::new();
    let mut last = first;
    while let [_] = unloading(&bench.step(Input::Released(last)))[..] {
        let actions = bench.step(Input::Unloaded("e".into(), true));
        let model = loading(&actions)[0].to_owned();
        last = granted(&bench.loaded("e", &model, 4096))[0];
        loads.push(model);
    }
    loads
}

#[test]
fn clients_take_turns_between_models_too() {
    let mut bench = crowded(&[]);
    let asks = [
        (2, "b", "batch"),
        (3, "c", "batch"),
        (4, "d", "batch"),
        (5, "z", "laptop"),
    ];
    for (ticket, model, client) in asks {
        let mut request = permit_request(ticket, "e", model, bench.now);
        request.client = ClientId::of_key(client);
        assert!(bench.step(Input::Arrive(request.into())).is_empty());
    }
    assert_eq!(loads(&mut bench, 1), ["b", "z", "c", "d"]);
}

/// Requests for `a` that are granted one after the other until it has to go.
fn overtaking(bench: &mut SchedulerHarness, class: Class) -> u64 {
    let mut overtook = 0;
    let mut last = 1;
    for ticket in 100.. {
        let mut request = permit_request(ticket, "e", "a", bench.now);
        request.class = class;
        bench.step(Input::Arrive(request.into()));
        match granted(&bench.step(Input::Released(last)))[..] {
            [next] => (last, overtook) = (next, overtook + 1),
            _ => break,
        }
    }
    overtook
}

#[test]
fn what_is_slow_to_load_is_overtaken_more_often() {
    for (load, most) in [(1, 3), (10, 9), (100, 12)] {
        let mut bench = crowded(&[("b", load)]);
        assert!(bench.arrive(2, "e", "b").is_empty());
        assert_eq!(overtaking(&mut bench, Class::Interactive), most, "{load} s");
    }
}

#[test]
fn a_batch_does_not_overtake_a_person_for_longer_where_loads_are_slow() {
    let mut bench = crowded(&[("b", 100)]);
    assert!(bench.arrive(2, "e", "b").is_empty());
    assert_eq!(overtaking(&mut bench, Class::Background), 3);
}

#[test]
fn a_batch_that_came_first_does_not_keep_a_person_waiting() {
    let mut bench = crowded(&[]);
    for ticket in 2..=20 {
        let mut night = permit_request(ticket, "e", "a", bench.now);
        night.class = Class::Background;
        assert!(bench.step(Input::Arrive(night.into())).is_empty());
    }
    assert!(bench.arrive(21, "e", "b").is_empty());
    for ticket in 1..=3 {
        assert_eq!(granted(&bench.step(Input::Released(ticket))), [ticket + 1]);
    }
    assert_eq!(unloading(&bench.step(Input::Released(4))), ["a"]);
}

#[test]
fn a_session_that_is_still_warm_goes_first_within_the_bounds() {
    let mut bench = narrow();
    let asks = |bench: &mut SchedulerHarness, ticket, session| {
        let mut request = permit_request(ticket, "e", "m", bench.now);
        request.session = session;
        assert!(bench.step(Input::Arrive(request.into())).is_empty());
    };
    // One slot, which held a request that told no session, then that of 7.
    for (ticket, session) in [
        (2, Some(7)),
        (3, None),
        (4, Some(8)),
        (5, Some(7)),
        (6, Some(7)),
    ] {
        asks(&mut bench, ticket, session);
    }
    assert_eq!(order(&mut bench, 3), [2, 5, 6]);
    for ticket in [7, 8] {
        asks(&mut bench, ticket, Some(7));
    }
    // Three is the bound; then nothing of 7 is warm any more.
    let mut next = |last| granted(&bench.step(Input::Released(last)))[0];
    assert_eq!([next(6), next(7), next(3), next(4)], [7, 3, 4, 8]);

    // Whoever waited for `overtake_age` is not passed.
    let mut bench = narrow();
    asks(&mut bench, 2, Some(7));
    asks(&mut bench, 3, Some(8));
    bench.step(Input::Released(1));
    bench.now += SECOND * 20;
    asks(&mut bench, 4, Some(7));
    assert_eq!(granted(&bench.step(Input::Released(2))), [3]);
}

#[test]
fn interactive_goes_first_and_background_is_not_starved() {
    let mut bench = narrow();
    of(&mut bench, 2, "night", Class::Background);
    for ticket in 3..=9 {
        of(&mut bench, ticket, "laptop", Class::Interactive);
    }
    assert_eq!(order(&mut bench, 8), [3, 4, 5, 6, 2, 7, 8, 9]);
}

#[test]
fn loads_for_interactive_go_first_until_background_is_old() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "a");
    let mut night = permit_request(2, "e", "b", bench.now);
    night.class = Class::Background;
    bench.step(Input::Arrive(night.clone().into()));
    bench.arrive(3, "e", "c");
    assert_eq!(loading(&bench.loaded("e", "a", 4096)), ["c"]);

    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "a");
    bench.step(Input::Arrive(night.into()));
    bench.now += SECOND * 20;
    bench.arrive(3, "e", "c");
    assert_eq!(loading(&bench.loaded("e", "a", 4096)), ["b"]);
}

#[test]
fn room_that_was_made_for_one_is_not_taken_by_another() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    }]);
    bench.hold(1, "e", "a");
    let mut night = permit_request(2, "e", "b", bench.now);
    night.class = Class::Background;
    assert_eq!(unloading(&bench.step(Input::Arrive(night.into()))), ["a"]);
    bench.arrive(3, "e", "c");
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["b"]);

    // Unless who it was made for has left.
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    }]);
    bench.hold(1, "e", "a");
    bench.arrive(2, "e", "b");
    bench.step(Input::Cancelled(2));
    bench.arrive(3, "e", "c");
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["c"]);
}

#[test]
fn a_newer_completion_takes_the_place_of_the_one_that_waits() {
    let mut bench = narrow();
    let cursor = |bench: &SchedulerHarness, ticket, hash| {
        let mut request = permit_request(ticket, "e", "m", bench.now);
        request.supersede_key = Some(hash);
        Input::Arrive(request.into())
    };
    assert!(bench.step(cursor(&bench, 2, 7)).is_empty());
    assert!(bench.step(cursor(&bench, 3, 8)).is_empty());
    let actions = bench.step(cursor(&bench, 4, 7));
    assert!(matches!(refused(&actions)[..], [(2, Refusal::Superseded)]));
    assert_eq!(granted(&bench.step(Input::Released(1))), [3]);
    // Who has a permit is not waiting.
    assert!(bench.step(cursor(&bench, 5, 8)).is_empty());
    assert_eq!(order_from(&mut bench, 3), [4, 5]);
}

fn order_from(bench: &mut SchedulerHarness, first: u64) -> Vec<u64> {
    let mut order = vec![first];
    for at in 0..2 {
        let actions = bench.step(Input::Released(order[at]));
        order.extend(granted(&actions));
    }
    order.split_off(1)
}

#[test]
fn retry_after_counts_loads_and_answers() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        queue_limit: 1,
        permits_per_resident: 1,
        ..facts("e", "cpu")
    }]);
    bench.arrive(1, "e", "a");
    bench.now += SECOND * 7;
    bench.loaded("e", "a", 4096);
    bench.step(Input::Released(1));
    bench.now += SECOND;
    bench.polled("e", &[]);
    // 7 s of load are known, 3 s of them have passed.
    bench.arrive(2, "e", "a");
    bench.now += SECOND * 3;
    let actions = bench.arrive(3, "e", "a");
    let [(3, Refusal::QueueFull { retry_after, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    // No answer took any time so far.
    assert_eq!(*retry_after, 4);
}

#[test]
fn retry_after_knows_what_earlier_runs_measured() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        queue_limit: 1,
        permits_per_resident: 1,
        load_times: [("a".into(), SECOND * 20)].into(),
        service_time: Some(SECOND * 9),
        ..facts("e", "cpu")
    }]);
    bench.arrive(1, "e", "a");
    let actions = bench.arrive(2, "e", "a");
    let [(2, Refusal::QueueFull { retry_after, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    // The load, then second in line.
    assert_eq!(*retry_after, 20 + 2 * 9);
}

/// Five answers of a minute are known; so many of one client wait for the only permit.
fn slow(waiting: u64) -> SchedulerHarness {
    let mut bench = narrow();
    for ticket in 1..=5 {
        bench.now += SECOND * 60;
        bench.step(Input::Released(ticket));
        bench.arrive(ticket + 1, "e", "m");
    }
    for ticket in 100..100 + waiting {
        of(&mut bench, ticket, "batch", Class::Interactive);
    }
    bench
}

#[test]
fn the_long_queue_of_one_client_refuses_no_other_for_the_length_of_its_wait() {
    // Six minutes behind everybody, two behind one turn of the batch; all may wait for five.
    let mut bench = slow(5);
    let mut request = permit_request(200, "e", "m", bench.now);
    request.client = ClientId::of_key("laptop");
    assert!(bench.step(Input::Arrive(request.clone().into())).is_empty());
    (request.client, request.ticket) = (ClientId::of_key("batch"), 201);
    let actions = bench.step(Input::Arrive(request.into()));
    let [(201, Refusal::QueueTimeout { waited, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(*waited, SECOND * 60 * 7);
}
