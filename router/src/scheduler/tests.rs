//! Decisions of the pure core, one by one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::{Class, EngineKind, Fit};

use super::{
    state::Scheduler,
    types::{Action, Arrival, Facts, Grant, Input, LoadFailure, Order},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    engine::{Tuple, testing::resident},
    event::{Event, EvictionReason, LoadOutcome, LoadTrigger},
    refusal::Refusal,
};

mod fairness;
mod memory;
mod odd;
mod residency;
mod scripts;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const GB: u64 = 1_000_000_000;

pub(super) fn facts(name: &str, pool: &str) -> Facts {
    Facts {
        name: name.into(),
        kind: EngineKind::Ollama,
        pool: pool.into(),
        url: format!("http://{name}").into(),
        gpu: false,
        budget: None,
        parent: None,
        ttl: None,
        models: Arc::default(),
        exclusive: false,
        load_control: true,
        spawned: false,
        permits: 2,
        queue: 10,
        max_loaded: 2,
        evict_foreign: false,
        overtake_count: 3,
        overtake_age: SECOND * 20,
        load_budget: SECOND * 300,
        polls: 1,
        residents: Vec::new(),
        pinned: Vec::new(),
    }
}

pub(super) fn arrival(ticket: u64, engine: &str, model: &str, now: Instant) -> Arrival {
    Arrival {
        ticket,
        request_id: "r".into(),
        engine: engine.into(),
        model: model.into(),
        kind: ModelKind::Generation,
        need: 10,
        base: 4096,
        cap: 131_072,
        fit: Fit::Grow,
        tuple: Tuple {
            context: Some(4096),
            ..Tuple::default()
        },
        pinned: false,
        trigger: LoadTrigger::Request,
        deadline: now + SECOND * 300,
        key: None,
        class: Class::Interactive,
        supersedes: None,
    }
}

/// A core with its clock and what it ordered.
pub(super) struct Bench {
    pub(super) core: Scheduler,
    pub(super) now: Instant,
    pub(super) fleet: Vec<Facts>,
}

impl Bench {
    pub(super) fn new(fleet: Vec<Facts>) -> Self {
        let mut bench = Self {
            core: Scheduler::default(),
            now: Instant::now(),
            fleet: fleet.clone(),
        };
        bench.step(Input::Fleet(fleet));
        bench
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.core.step(input, self.now, &mut actions);
        actions
    }

    pub(super) fn arrive(&mut self, ticket: u64, engine: &str, model: &str) -> Vec<Action> {
        let arrival = arrival(ticket, engine, model, self.now);
        self.step(Input::Arrive(arrival))
    }

    pub(super) fn loaded(&mut self, engine: &str, model: &str, context: u64) -> Vec<Action> {
        self.step(Input::Loaded(engine.into(), info(model, context)))
    }

    /// Loads a model for one request that is over at once.
    pub(super) fn hold(&mut self, ticket: u64, engine: &str, model: &str) {
        self.arrive(ticket, engine, model);
        self.loaded(engine, model, 4096);
        self.step(Input::Released(ticket));
    }

    /// A newer poll of an engine.
    pub(super) fn polled(&mut self, engine: &str, residents: &[ResidentInfo]) -> Vec<Action> {
        for facts in &mut self.fleet {
            facts.polls += 2;
            if &*facts.name == engine {
                facts.residents = residents.to_vec();
            }
        }
        self.step(Input::Fleet(self.fleet.clone()))
    }
}

pub(super) fn info(model: &str, context: u64) -> ResidentInfo {
    ResidentInfo {
        context: Some(context),
        ..resident(model)
    }
}

pub(super) fn granted(actions: &[Action]) -> Vec<u64> {
    let tickets = actions.iter().filter_map(|a| match a {
        Action::Grant(Grant { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    tickets.collect()
}

pub(super) fn orders(actions: &[Action]) -> Vec<&Order> {
    let orders = actions.iter().filter_map(|a| match a {
        Action::Load(order) => Some(order),
        _ => None,
    });
    orders.collect()
}

pub(super) fn loading(actions: &[Action]) -> Vec<&str> {
    orders(actions).into_iter().map(|o| &*o.model).collect()
}

pub(super) fn unloading(actions: &[Action]) -> Vec<&str> {
    let models = actions.iter().filter_map(|a| match a {
        Action::Unload(_, info) => Some(&*info.model),
        _ => None,
    });
    models.collect()
}

pub(super) fn refused(actions: &[Action]) -> Vec<(u64, &Refusal)> {
    let refusals = actions.iter().filter_map(|a| match a {
        Action::Reject(ticket, refusal) => Some((*ticket, refusal)),
        _ => None,
    });
    refusals.collect()
}

pub(super) fn evictions(actions: &[Action]) -> Vec<EvictionReason> {
    let reasons = actions.iter().filter_map(|a| match a {
        Action::Tell(Event::Evicted { reason, .. }) => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn waiters_share_one_load_and_a_cancelled_one_is_not_granted() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    assert_eq!(loading(&bench.arrive(1, "e", "m")), ["m"]);
    assert!(bench.arrive(2, "e", "m").is_empty());
    assert!(bench.arrive(3, "e", "m").is_empty());
    bench.step(Input::Cancelled(1));
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [2, 3]);
}

#[test]
fn an_observed_engine_is_never_loaded_or_unloaded() {
    let observed = Facts {
        load_control: false,
        max_loaded: 1,
        residents: vec![info("held", 8192)],
        ..facts("e", "cpu")
    };
    let mut bench = Bench::new(vec![observed]);
    for (ticket, model) in [(1, "other"), (2, "held"), (3, "third")] {
        let actions = bench.arrive(ticket, "e", model);
        assert_eq!(granted(&actions), [ticket]);
        assert_eq!(actions.len(), 1, "{actions:?}");
    }
    let mut large = arrival(4, "e", "held", bench.now);
    large.need = 9000;
    let actions = bench.step(Input::Arrive(large));
    let Refusal::ContextExceeded { needed, limit, .. } = refused(&actions)[0].1 else {
        panic!("{actions:?}");
    };
    assert_eq!((*needed, *limit), (9000, 8192));
}

#[test]
fn a_failed_unload_is_tried_again_only_after_its_backoff() {
    let limited = Facts {
        max_loaded: 1,
        ..facts("e", "cpu")
    };
    let mut bench = Bench::new(vec![limited]);
    bench.hold(1, "e", "a");
    assert_eq!(unloading(&bench.arrive(2, "e", "b")), ["a"]);
    let failed = Input::Unloaded("e".into(), false);
    assert!(bench.step(failed.clone()).is_empty());
    assert!(bench.step(Input::Tick).is_empty());
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(due - bench.now, SECOND * 2);
    bench.now = due;
    assert_eq!(unloading(&bench.step(Input::Tick)), ["a"]);
    bench.step(failed);
    let due = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(due - bench.now, SECOND * 4);
}

#[test]
fn a_load_that_yields_less_context_is_accepted_and_not_repeated() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "m");
    let mut large = arrival(2, "e", "m", bench.now);
    large.need = 4000;
    bench.step(Input::Arrive(large));
    let actions = bench.loaded("e", "m", 2048);
    assert_eq!(granted(&actions), [1]);
    assert!(loading(&actions).is_empty() && unloading(&actions).is_empty());
    assert!(matches!(
        refused(&actions)[..],
        [(
            2,
            Refusal::ContextExceeded {
                needed: 4000,
                limit: 2048,
                ..
            }
        )]
    ));
}

#[test]
fn a_load_whose_waiters_all_left_keeps_its_tuple() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "m");
    bench.step(Input::Cancelled(1));
    bench.loaded("e", "m", 4096);
    let actions = bench.arrive(2, "e", "m");
    let [Action::Grant(grant)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(grant.tuple.context, Some(4096));
}

#[test]
fn an_idle_resident_grows_once_in_ten_minutes() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    let large = |bench: &Bench, ticket, need| {
        let mut large = arrival(ticket, "e", "m", bench.now);
        large.need = need;
        Input::Arrive(large)
    };
    let input = large(&bench, 2, 5000);
    assert_eq!(unloading(&bench.step(input)), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(evictions(&actions), [EvictionReason::Resize]);
    assert_eq!(orders(&actions)[0].tuple.context, Some(8192));
    assert_eq!(granted(&bench.loaded("e", "m", 8192)), [2]);
    bench.step(Input::Released(2));
    let input = large(&bench, 3, 9000);
    assert!(matches!(
        refused(&bench.step(input))[..],
        [(
            3,
            Refusal::ContextExceeded {
                needed: 9000,
                limit: 8192,
                ..
            }
        )]
    ));
    bench.now += super::fit::GROW_EVERY;
    let input = large(&bench, 4, 9000);
    assert_eq!(unloading(&bench.step(input)), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(orders(&actions)[0].tuple.context, Some(16_384));
}

#[test]
fn a_prompt_beyond_every_limit_is_refused_with_both_numbers() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    let mut large = arrival(1, "e", "m", bench.now);
    (large.need, large.fit) = (5000, Fit::Reject);
    let actions = bench.step(Input::Arrive(large.clone()));
    assert!(matches!(
        refused(&actions)[..],
        [(
            1,
            Refusal::ContextExceeded {
                needed: 5000,
                limit: 4096,
                ..
            }
        )]
    ));
    (large.ticket, large.need, large.fit) = (2, 200_000, Fit::Grow);
    let actions = bench.step(Input::Arrive(large));
    assert!(matches!(
        refused(&actions)[..],
        [(2, Refusal::ContextExceeded { limit: 131_072, .. })]
    ));
}

#[test]
fn embeddings_have_a_lane_of_their_own() {
    let limited = Facts {
        max_loaded: 1,
        permits: 1,
        queue: 1,
        ..facts("e", "cpu")
    };
    let mut bench = Bench::new(vec![limited]);
    bench.arrive(1, "e", "chat");
    bench.loaded("e", "chat", 4096);
    let embed = |bench: &mut Bench, ticket| {
        let mut embed = arrival(ticket, "e", "embed", bench.now);
        (embed.kind, embed.need, embed.tuple) = (ModelKind::Embedding, 0, Tuple::default());
        bench.step(Input::Arrive(embed))
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
    let short = Facts {
        queue: 1,
        permits: 1,
        ..facts("e", "cpu")
    };
    let mut bench = Bench::new(vec![short]);
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
                retry_after: 20,
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
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    let mut soon = arrival(1, "e", "m", bench.now);
    soon.deadline = bench.now + Duration::from_millis(137);
    bench.step(Input::Arrive(soon.clone()));
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
    let alone = Facts {
        exclusive: true,
        ..facts("a", "gpu")
    };
    let mut bench = Bench::new(vec![
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
    let mut bench = Bench::new(vec![facts("e", "cpu"), facts("f", "gpu")]);
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
            .all(|a| matches!(a, Action::Tell(_)))
    );
}

#[test]
fn what_a_person_loaded_is_used_and_blocks_but_is_never_evicted() {
    let held = Facts {
        kind: EngineKind::Lmstudio,
        max_loaded: 1,
        residents: vec![info("hand", 8192)],
        ..facts("e", "gpu")
    };
    let mut bench = Bench::new(vec![held]);
    assert_eq!(granted(&bench.arrive(1, "e", "hand")), [1]);
    let actions = bench.arrive(2, "e", "other");
    let [(2, Refusal::Blocked { blocker, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(&**blocker, "hand");
    assert!(unloading(&actions).is_empty());
}

#[test]
fn a_second_instance_serves_where_the_first_has_too_little_context() {
    let mut second = info("m", 16_384);
    second.instance = "m:2".into();
    let held = Facts {
        kind: EngineKind::Lmstudio,
        residents: vec![info("m", 2048), second],
        ..facts("e", "gpu")
    };
    let mut bench = Bench::new(vec![held]);
    let mut large = arrival(1, "e", "m", bench.now);
    large.need = 9000;
    let actions = bench.step(Input::Arrive(large));
    let [Action::Grant(grant)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(&*grant.info.instance, "m:2");
}

#[test]
fn a_small_context_halves_the_permits() {
    let held = Facts {
        kind: EngineKind::Lmstudio,
        residents: vec![info("m", 4096)],
        ..facts("e", "gpu")
    };
    let mut bench = Bench::new(vec![held]);
    assert_eq!(granted(&bench.arrive(1, "e", "m")), [1]);
    assert!(bench.arrive(2, "e", "m").is_empty());
    assert_eq!(granted(&bench.step(Input::Released(1))), [2]);
}

#[test]
fn a_failure_gives_every_waiter_the_engines_words_and_a_backoff() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "m");
    bench.arrive(2, "e", "m");
    let words = LoadFailure::Refused("out of memory".into());
    let actions = bench.step(Input::LoadFailed("e".into(), words));
    for (_, refusal) in refused(&actions) {
        let Refusal::LoadFailed {
            message,
            retry_after: 2,
            ..
        } = refusal
        else {
            panic!("{refusal:?}");
        };
        assert_eq!(message, "out of memory");
    }
    assert_eq!(refused(&actions).len(), 2);
    assert_eq!(refused(&bench.arrive(3, "e", "m")).len(), 1);
    bench.now += SECOND * 2;
    assert_eq!(loading(&bench.arrive(4, "e", "m")), ["m"]);
}

#[test]
fn a_waiting_swap_is_overtaken_only_so_often() {
    let limited = Facts {
        max_loaded: 1,
        ..facts("e", "cpu")
    };
    let mut bench = Bench::new(vec![limited]);
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
fn what_vanished_is_told_and_loaded_again() {
    let mut bench = Bench::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    assert_eq!(
        evictions(&bench.polled("e", &[])),
        [EvictionReason::External]
    );
    assert_eq!(loading(&bench.arrive(2, "e", "m")), ["m"]);
}

#[test]
fn a_drain_refuses_and_unloads_what_is_ours() {
    let held = Facts {
        residents: vec![info("hand", 4096)],
        ..facts("e", "cpu")
    };
    for unload in [true, false] {
        let mut bench = Bench::new(vec![held.clone(), facts("f", "gpu")]);
        bench.hold(1, "e", "m");
        bench.arrive(2, "f", "slow");
        let actions = bench.step(Input::Drain(unload));
        assert!(matches!(refused(&actions)[..], [(2, Refusal::Draining)]));
        assert_eq!(unloading(&actions), if unload { vec!["m"] } else { vec![] });
        if unload {
            let actions = bench.step(Input::Unloaded("e".into(), true));
            assert_eq!(evictions(&actions), [EvictionReason::Exit]);
        }
        assert!(!bench.core.drained());
        let ended = LoadFailure::Refused("ending".into());
        bench.step(Input::LoadFailed("f".into(), ended));
        assert!(bench.core.drained());
        assert!(matches!(
            refused(&bench.arrive(3, "e", "m"))[..],
            [(3, Refusal::Draining)]
        ));
    }
}

#[test]
fn a_pinned_model_is_not_evicted() {
    let limited = Facts {
        max_loaded: 1,
        ..facts("e", "cpu")
    };
    let mut bench = Bench::new(vec![limited]);
    let mut pinned = arrival(1, "e", "pinned", bench.now);
    pinned.pinned = true;
    bench.step(Input::Arrive(pinned));
    bench.loaded("e", "pinned", 4096);
    bench.step(Input::Released(1));
    // No poll has seen it yet.
    bench.step(Input::Fleet(bench.fleet.clone()));
    let actions = bench.arrive(2, "e", "other");
    assert!(unloading(&actions).is_empty());
    let [(2, Refusal::LoadFailed { message, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(message.contains("pinned"), "{message}");
}

#[test]
fn the_queue_says_what_each_waits_for() {
    let mut bench = Bench::new(vec![Facts {
        max_loaded: 1,
        permits: 1,
        ..facts("e", "cpu")
    }]);
    bench.arrive(1, "e", "a");
    let reasons = |bench: &Bench| -> Vec<(u32, &'static str)> {
        let queue = bench.core.waiting(bench.now);
        queue.iter().map(|w| (w.position, w.reason)).collect()
    };
    assert_eq!(reasons(&bench), [(1, "load")]);
    bench.loaded("e", "a", 4096);
    bench.arrive(2, "e", "a");
    bench.arrive(3, "e", "b");
    assert_eq!(reasons(&bench), [(1, "slot"), (2, "swap")]);
}
