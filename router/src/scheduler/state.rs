//! The scheduler as a pure step function: inputs and `now` in, actions out.
//!
//! One load or unload in flight per pool, shared by all who wait; only idle residents are evicted;
//! a waiting swap is overtaken only within the bounds of `[scheduler]`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    fit::Mark,
    types::{Action, Arrival, Facts, Input, Order},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    engine::Tuple,
    event::{Event, EvictionReason},
};

/// An engine and its name of a model.
pub(super) type Place = (Arc<str>, Arc<str>);

/// One instance of a model.
pub(super) struct Resident {
    pub(super) info: ResidentInfo,
    /// What Crucible loaded it with, where it did.
    pub(super) tuple: Option<Tuple>,
    pub(super) pinned: bool,
    pub(super) active: u32,
    pub(super) idle_since: Instant,
    /// The engine no longer lists it: it goes with its last permit.
    pub(super) vanished: bool,
    /// An engine without load control did not list it: it serves because a request came.
    pub(super) assumed: bool,
    pub(super) unload: Retry,
}

/// The backoff of an unload that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    pub(super) not_before: Option<Instant>,
    pub(super) backoff: Duration,
}

pub(super) struct Waiter {
    pub(super) arrival: Arrival,
    pub(super) since: Instant,
    pub(super) overtaken: u32,
    /// A load was part of its wait.
    pub(super) loaded: bool,
}

pub(super) struct EngineState {
    pub(super) facts: Facts,
    pub(super) residents: Vec<Resident>,
    /// In order of arrival, both lanes.
    pub(super) queue: Vec<Waiter>,
    /// Embedding permits out.
    pub(super) embedding: u32,
    /// Mean time from grant to release, and of how many.
    pub(super) service: (Duration, u32),
    /// Polls up to this one may have begun before the last operation ended.
    trust_after: u64,
}

/// A permit that is out.
pub(super) struct Active {
    pub(super) engine: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) kind: ModelKind,
    pub(super) since: Instant,
}

/// A load or unload in flight.
pub(super) struct Operation {
    pub(super) engine: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) since: Instant,
    pub(super) exclusive: bool,
    pub(super) work: Work,
}

pub(super) enum Work {
    Load(Order),
    Unload {
        instance: Arc<str>,
        reason: EvictionReason,
    },
}

/// A load that failed.
pub(super) struct Failure {
    pub(super) until: Instant,
    pub(super) backoff: Duration,
    pub(super) message: String,
}

/// The whole state.
#[derive(Default)]
pub struct Scheduler {
    pub(super) engines: BTreeMap<Arc<str>, EngineState>,
    pub(super) active: HashMap<u64, Active>,
    /// By pool.
    pub(super) operations: BTreeMap<Arc<str>, Operation>,
    pub(super) failures: HashMap<Place, Failure>,
    pub(super) marks: HashMap<Place, Mark>,
    /// How long the last load took.
    pub(super) load_times: HashMap<Place, Duration>,
    /// Crucible ends; true: what it loaded is unloaded.
    pub(super) draining: Option<bool>,
}

// === impl Resident ===

impl Resident {
    pub(super) fn new(info: ResidentInfo, now: Instant) -> Self {
        Self {
            info,
            tuple: None,
            pinned: false,
            active: 0,
            idle_since: now,
            vanished: false,
            assumed: false,
            unload: Retry::default(),
        }
    }
}

// === impl EngineState ===

impl EngineState {
    fn new(facts: Facts) -> Self {
        Self {
            facts,
            residents: Vec::new(),
            queue: Vec::new(),
            embedding: 0,
            service: (Duration::ZERO, 0),
            trust_after: 0,
        }
    }

    /// Takes a poll; gives the models that Crucible had loaded and that are gone.
    fn observe(&mut self, facts: Facts, in_flight: bool, now: Instant) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        if facts.polls < self.facts.polls {
            // It was configured anew and counts from the start.
            self.trust_after = 0;
        }
        let believed = !in_flight && facts.polls > self.trust_after;
        if believed {
            for resident in &mut self.residents {
                let listed = facts
                    .residents
                    .iter()
                    .find(|info| info.instance == resident.info.instance);
                if let Some(info) = listed {
                    let model = Arc::clone(&resident.info.model);
                    resident.info = info.clone();
                    resident.info.model = model;
                    resident.assumed = false;
                }
                resident.vanished = listed.is_none() && !resident.assumed;
            }
            self.residents.retain(|r| {
                let leaves = r.vanished && r.active == 0;
                if leaves && r.tuple.is_some() {
                    gone.push(Arc::clone(&r.info.model));
                }
                !leaves
            });
            for info in &facts.residents {
                let known = |r: &Resident| r.info.instance == info.instance;
                if !self.residents.iter().any(known) {
                    self.residents.push(Resident::new(info.clone(), now));
                }
            }
        }
        for resident in &mut self.residents {
            let model = &resident.info.model;
            // A load that no poll has seen yet keeps what its order said.
            if facts.residents.iter().any(|info| info.model == *model) {
                resident.pinned = facts.pinned.contains(model);
            }
        }
        self.facts = facts;
        gone
    }

    /// Waiters of a lane.
    pub(super) fn waiting(&self, kind: ModelKind) -> usize {
        let lane = self.queue.iter().filter(|w| w.arrival.kind == kind);
        lane.count()
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// One step.
    pub fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        match input {
            Input::Arrive(arrival) => self.arrive(arrival, now, actions),
            Input::Cancelled(ticket) => self.cancel(ticket),
            Input::Released(ticket) => self.release(ticket, now, actions),
            Input::Loaded(engine, info) => self.loaded(&engine, info, now, actions),
            Input::LoadFailed(engine, failure) => self.load_failed(&engine, failure, now, actions),
            Input::Unloaded(engine, gone) => self.unloaded(&engine, gone, now, actions),
            Input::Fleet(fleet) => self.observe(fleet, now, actions),
            Input::Drain(unload) => self.drain(unload, actions),
            Input::Tick => {}
        }
        self.dispatch(now, actions);
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let waits = self
            .engines
            .values()
            .flat_map(|e| &e.queue)
            .map(|w| w.arrival.deadline);
        let retries = self
            .engines
            .values()
            .filter(|e| !e.queue.is_empty() || self.draining.is_some())
            .flat_map(|e| &e.residents)
            .filter_map(|r| r.unload.not_before)
            .filter(|at| *at > now);
        waits.chain(retries).min()
    }

    /// Nothing is left to do before the end.
    pub fn drained(&self) -> bool {
        self.draining.is_some() && self.operations.is_empty() && !self.any_to_unload()
    }

    /// Whether an engine of that name is known.
    pub fn knows(&self, engine: &str) -> bool {
        // Facts from before the first poll say nothing of residents or load control.
        self.facts(engine).is_some_and(|facts| facts.polls > 0)
    }

    /// What that engine is.
    pub fn facts(&self, engine: &str) -> Option<&Facts> {
        self.engines.get(engine).map(|e| &e.facts)
    }

    fn observe(&mut self, fleet: Vec<Facts>, now: Instant, actions: &mut Vec<Action>) {
        let names: Vec<Arc<str>> = fleet.iter().map(|f| Arc::clone(&f.name)).collect();
        self.remove_all_but(&names, actions);
        for facts in fleet {
            let name = Arc::clone(&facts.name);
            let in_flight = self.operation_of(&name).is_some();
            let state = self
                .engines
                .entry(Arc::clone(&name))
                .or_insert_with(|| EngineState::new(facts.clone()));
            for model in state.observe(facts, in_flight, now) {
                actions.push(evicted(&name, &model, EvictionReason::External));
            }
        }
    }

    /// The operation of an engine, under whatever pool it was begun.
    pub(super) fn operation_of(&self, engine: &str) -> Option<&Operation> {
        self.operations.values().find(|o| *o.engine == *engine)
    }

    /// Ends the operation of an engine; a poll that may have begun before is not believed.
    pub(super) fn finish(&mut self, engine: &str) -> Option<Operation> {
        let pool = self
            .operations
            .iter()
            .find(|(_, o)| *o.engine == *engine)
            .map(|(pool, _)| Arc::clone(pool))?;
        if let Some(state) = self.engines.get_mut(engine) {
            state.trust_after = state.facts.polls + 1;
        }
        self.operations.remove(&pool)
    }
}

/// Tells that a resident went.
pub(super) fn evicted(engine: &Arc<str>, model: &Arc<str>, reason: EvictionReason) -> Action {
    Action::Tell(Event::Evicted {
        engine: Arc::clone(engine),
        model: Arc::clone(model),
        reason,
    })
}
