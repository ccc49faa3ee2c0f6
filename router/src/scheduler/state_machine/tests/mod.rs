//! Decisions of the pure core, one by one.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::{Class, EngineKind, Fit};

use super::state::Scheduler;
use crate::{
    catalog::{ModelKind, ResidentInfo},
    client::ClientId,
    engine::{LoadTuple, testing::resident},
    event::{Event, EvictionReason, LoadOutcome, LoadTrigger},
    refusal::{ContextBound, Refusal},
    scheduler::messages::{
        Action, EngineFacts, Input, LoadCommand, LoadFailure, PermitGrant, PermitRequest,
    },
};

mod abandoned_load;
mod context;
mod context_preview;
mod engine_reload;
mod example;
mod fairness;
mod foreign_memory;
mod growth;
mod growth_memory;
mod linger;
mod memory;
mod odd_input;
mod residency;
mod runner_names;
mod scenarios;
mod spare_context;
mod waiting;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const GB: u64 = 1_000_000_000;

pub(in crate::scheduler) fn facts(name: &str, pool: &str) -> EngineFacts {
    EngineFacts {
        name: name.into(),
        kind: EngineKind::Ollama,
        pool: pool.into(),
        url: format!("http://{name}").into(),
        on_gpu: false,
        pool_budget: None,
        gpu_memory: None,
        shared_budget: None,
        model_ttl: None,
        models: Arc::default(),
        exclusive: false,
        load_control: true,
        is_child: false,
        permits_per_resident: 2,
        queue_limit: 10,
        max_loaded_models: 2,
        evict_foreign: false,
        owns_state: true,
        grow_foreign: true,
        overtake_count: 3,
        overtake_age: SECOND * 20,
        linger: SECOND / 2,
        load_timeout: SECOND * 300,
        load_times: BTreeMap::new(),
        service_time: None,
        polls: 1,
        last_poll_answered: true,
        listing_poll: 1,
        residents: Vec::new(),
        pinned_models: Vec::new(),
        option_variants: BTreeMap::new(),
    }
}

pub(in crate::scheduler) fn permit_request(
    ticket: u64,
    engine: &str,
    model: &str,
    now: Instant,
) -> PermitRequest {
    PermitRequest {
        ticket,
        request_id: "r".into(),
        engine: engine.into(),
        model: model.into(),
        name: model.into(),
        kind: ModelKind::Generation,
        prompt_tokens: 10,
        answer_tokens: 0,
        configured_context: 4096,
        expected_context: 0,
        growing_prompts: false,
        base_context: 4096,
        context_cap: 131_072,
        fit: Fit::Grow,
        tuple: LoadTuple {
            context: Some(4096),
            ..LoadTuple::default()
        },
        pin: false,
        resident_only: false,
        trigger: LoadTrigger::Request,
        deadline: now + SECOND * 300,
        client: ClientId::default(),
        commits_at: None,
        class: Class::Interactive,
        session: None,
        supersede_key: None,
    }
}

/// A core with its clock and what it ordered.
pub(super) struct SchedulerHarness {
    pub(super) core: Scheduler,
    pub(super) now: Instant,
    pub(super) fleet: Vec<EngineFacts>,
}

impl SchedulerHarness {
    pub(super) fn new(fleet: Vec<EngineFacts>) -> Self {
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
        let request = permit_request(ticket, engine, model, self.now);
        self.step(Input::Arrive(request.into()))
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
            facts.listing_poll = facts.polls;
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
        Action::Grant(PermitGrant { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    tickets.collect()
}

pub(super) fn orders(actions: &[Action]) -> Vec<&LoadCommand> {
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
        Action::Emit(Event::Evicted { reason, .. }) => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn an_observed_engine_is_never_loaded_or_unloaded() {
    let observed = EngineFacts {
        load_control: false,
        max_loaded_models: 1,
        residents: vec![info("held", 8192)],
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![observed]);
    for (ticket, model) in [(1, "other"), (2, "held"), (3, "third")] {
        let actions = bench.arrive(ticket, "e", model);
        assert_eq!(granted(&actions), [ticket]);
        assert_eq!(actions.len(), 1, "{actions:?}");
    }
    let mut large = permit_request(4, "e", "held", bench.now);
    large.prompt_tokens = 9000;
    let actions = bench.step(Input::Arrive(large.into()));
    let Refusal::ContextExceeded {
        prompt,
        limit,
        bound: ContextBound::Engine { .. },
        ..
    } = refused(&actions)[0].1
    else {
        panic!("{actions:?}");
    };
    assert_eq!((*prompt, *limit), (9000, 8192));
}

#[test]
fn a_failed_unload_is_tried_again_only_after_its_backoff() {
    let limited = EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![limited]);
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
fn what_a_person_loaded_is_used_and_blocks_but_is_never_evicted() {
    let held = EngineFacts {
        kind: EngineKind::Lmstudio,
        max_loaded_models: 1,
        residents: vec![info("hand", 8192)],
        ..facts("e", "gpu")
    };
    let mut bench = SchedulerHarness::new(vec![held]);
    assert_eq!(granted(&bench.arrive(1, "e", "hand")), [1]);
    let actions = bench.arrive(2, "e", "other");
    let [(2, Refusal::Blocked { blocker, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(&**blocker, "hand");
    assert!(unloading(&actions).is_empty());
}

#[test]
fn a_failure_gives_every_waiter_the_engines_words_and_a_backoff() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
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
fn what_vanished_is_told_and_loaded_again() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    assert_eq!(
        evictions(&bench.polled("e", &[])),
        [EvictionReason::External]
    );
    assert_eq!(loading(&bench.arrive(2, "e", "m")), ["m"]);
}

#[test]
fn a_drain_refuses_and_unloads_what_is_ours() {
    let held = EngineFacts {
        residents: vec![info("hand", 4096)],
        ..facts("e", "cpu")
    };
    for unload in [true, false] {
        let mut bench = SchedulerHarness::new(vec![held.clone(), facts("f", "gpu")]);
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
    let limited = EngineFacts {
        max_loaded_models: 1,
        ..facts("e", "cpu")
    };
    let mut bench = SchedulerHarness::new(vec![limited]);
    let mut pinned = permit_request(1, "e", "pinned", bench.now);
    pinned.pin = true;
    bench.step(Input::Arrive(pinned.into()));
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
