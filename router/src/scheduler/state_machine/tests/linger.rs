//! What is held for an agent that comes back, for how long, and against whom.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Who asks for what, in which session.
#[derive(Clone, Copy)]
struct Ask(&'static str, Option<u64>, &'static str);

const AGENT: Ask = Ask("agent", None, "a");
const OTHER: Ask = Ask("other", None, "b");

impl SchedulerHarness {
    fn asks(&mut self, ticket: u64, Ask(client, session, model): Ask) -> Vec<Action> {
        let mut request = permit_request(ticket, "e", model, self.now);
        request.client = ClientId::of_key(client);
        request.session = session;
        self.step(Input::Arrive(request.into()))
    }
}

/// An agent has `a` loaded and calls tools while another client waits for `b`; room is for one.
fn called(
    change: impl FnOnce(&mut EngineFacts),
    agent: Ask,
    other: Ask,
) -> (SchedulerHarness, Vec<Action>) {
    let mut engine = EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    };
    change(&mut engine);
    let mut bench = SchedulerHarness::new(vec![engine]);
    bench.asks(1, agent);
    bench.loaded("e", "a", 4096);
    assert!(unloading(&bench.asks(2, other)).is_empty());
    let actions = bench.step(Input::ReleasedForTools(1));
    (bench, actions)
}

#[test]
fn the_next_turn_of_an_agent_finds_its_model() {
    let (mut bench, actions) = called(|_| {}, AGENT, OTHER);
    assert!(actions.is_empty(), "{actions:?}");
    bench.now += MS * 300;
    assert_eq!(granted(&bench.asks(3, AGENT)), [3]);
    assert!(bench.step(Input::ReleasedForTools(3)).is_empty());
    bench.now += MS * 499;
    assert_eq!(granted(&bench.asks(4, AGENT)), [4]);
    // Its last answer calls nothing.
    assert_eq!(unloading(&bench.step(Input::Released(4))), ["a"]);
}

#[test]
fn who_does_not_come_back_is_not_waited_for() {
    let (mut bench, actions) = called(|_| {}, AGENT, OTHER);
    assert!(actions.is_empty(), "{actions:?}");
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(due - bench.now, MS * 500);
    bench.now += MS * 499;
    assert!(bench.step(Input::Tick).is_empty());
    bench.now = due;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["a"]);
}

#[test]
fn it_is_held_for_at_most_half_of_what_the_other_takes_to_load() {
    let loads = |facts: &mut EngineFacts| {
        facts.load_times.insert("b".into(), MS * 600);
    };
    let (mut bench, actions) = called(loads, AGENT, OTHER);
    assert!(actions.is_empty(), "{actions:?}");
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(due - bench.now, MS * 300);
    bench.now = due;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["a"]);
}

#[test]
fn nothing_is_held_where_it_is_switched_off_or_would_help_nobody() {
    let background = |bench: &mut SchedulerHarness| {
        let mut request = permit_request(1, "e", "a", bench.now);
        (request.client, request.class) = (ClientId::of_key("agent"), Class::Background);
        bench.step(Input::Arrive(request.into()))
    };
    let off = |facts: &mut EngineFacts| facts.linger = Duration::ZERO;
    let passed = |facts: &mut EngineFacts| facts.overtake_count = 0;
    let aged = |facts: &mut EngineFacts| facts.overtake_age = Duration::ZERO;
    let changes: [fn(&mut EngineFacts); 3] = [off, passed, aged];
    for change in changes {
        let (_, actions) = called(change, AGENT, OTHER);
        assert_eq!(unloading(&actions), ["a"]);
    }
    // Nor against somebody more urgent.
    let limited = EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![limited]);
    background(&mut bench);
    bench.loaded("e", "a", 4096);
    bench.asks(2, OTHER);
    assert_eq!(unloading(&bench.step(Input::ReleasedForTools(1))), ["a"]);
}

#[test]
fn what_waits_is_kept_waiting_no_longer_than_it_may_be_overtaken() {
    let short = |facts: &mut EngineFacts| {
        facts.overtake_age = MS * 700;
        facts.load_times.insert("b".into(), MS * 10);
        facts.linger = SECOND * 60;
    };
    let (bench, actions) = called(short, AGENT, OTHER);
    // Half of its load is less here.
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert!(actions.is_empty() && due - bench.now == MS * 5);
    let slow = |facts: &mut EngineFacts| {
        facts.overtake_age = SECOND;
        facts.linger = SECOND * 60;
    };
    let (mut bench, actions) = called(slow, AGENT, OTHER);
    assert!(actions.is_empty(), "{actions:?}");
    bench.now += MS * 900;
    assert_eq!(granted(&bench.asks(3, AGENT)), [3]);
    assert!(bench.step(Input::ReleasedForTools(3)).is_empty());
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(due - bench.now, MS * 100);
    bench.now = due;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["a"]);
}

#[test]
fn an_agent_that_is_back_elsewhere_holds_nothing() {
    for (agent, back, goes) in [
        // A session asks for another model, or for the one that others wait for.
        (Ask("agent", Some(7), "a"), Ask("agent", Some(7), "c"), true),
        (Ask("agent", Some(7), "a"), Ask("agent", Some(7), "b"), true),
        // Another session of the client, another client, and one that may be another agent.
        (
            Ask("agent", Some(7), "a"),
            Ask("agent", Some(8), "b"),
            false,
        ),
        (Ask("agent", Some(7), "a"), Ask("agent", None, "b"), false),
        (
            Ask("agent", Some(7), "a"),
            Ask("third", Some(7), "b"),
            false,
        ),
        (Ask("agent", None, "a"), Ask("agent", None, "b"), false),
    ] {
        let (mut bench, actions) = called(|_| {}, agent, OTHER);
        assert!(actions.is_empty(), "{actions:?}");
        let actions = bench.asks(3, back);
        let Ask(client, session, model) = back;
        let what = format!("{client} {session:?} {model}");
        assert_eq!(unloading(&actions).contains(&"a"), goes, "{what}");
    }
}

#[test]
fn an_agent_that_left_is_not_expected() {
    let (mut bench, _) = called(|_| {}, AGENT, OTHER);
    bench.asks(3, AGENT);
    // In the middle of its answer.
    assert_eq!(unloading(&bench.step(Input::Released(3))), ["a"]);
}

#[test]
fn growth_waits_for_an_agent_that_comes_back() {
    let larger = |bench: &SchedulerHarness| {
        let mut request = permit_request(2, "e", "a", bench.now);
        (request.client, request.prompt_tokens) = (ClientId::of_key("other"), 9000);
        Input::Arrive(request.into())
    };
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.asks(1, AGENT);
    bench.now += SECOND * 2;
    bench.loaded("e", "a", 4096);
    let arrive = larger(&bench);
    assert!(bench.step(arrive).is_empty());
    assert!(bench.step(Input::ReleasedForTools(1)).is_empty());
    bench.now += MS * 300;
    assert_eq!(granted(&bench.asks(3, AGENT)), [3]);
    assert!(bench.step(Input::ReleasedForTools(3)).is_empty());
    bench.now += MS * 500;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["a"]);
    // Its own larger turn is what it comes back with.
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.asks(1, Ask("other", Some(1), "a"));
    bench.loaded("e", "a", 4096);
    bench.step(Input::ReleasedForTools(1));
    let mut request = permit_request(2, "e", "a", bench.now);
    (request.client, request.session) = (ClientId::of_key("other"), Some(1));
    request.prompt_tokens = 9000;
    assert_eq!(unloading(&bench.step(Input::Arrive(request.into()))), ["a"]);
}

#[test]
fn nobody_who_waits_means_nothing_is_held() {
    let mut bench = SchedulerHarness::new(vec![EngineFacts {
        model_ttl: Some(MS * 100),
        ..facts("e", "cpu")
    }]);
    bench.asks(1, AGENT);
    bench.loaded("e", "a", 4096);
    bench.step(Input::ReleasedForTools(1));
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(due - bench.now, MS * 100);
    bench.now = due;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["a"]);
}

#[test]
fn another_idle_model_goes_before_one_that_is_held() {
    for (for_tools, goes) in [(true, "c"), (false, "a")] {
        let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
        bench.asks(1, AGENT);
        bench.loaded("e", "a", 4096);
        bench.asks(2, Ask("third", None, "c"));
        bench.loaded("e", "c", 4096);
        bench.step(if for_tools {
            Input::ReleasedForTools(1)
        } else {
            Input::Released(1)
        });
        bench.now += MS * 100;
        bench.step(Input::Released(2));
        bench.now += MS * 100;
        assert_eq!(unloading(&bench.asks(3, OTHER)), [goes]);
    }
}
