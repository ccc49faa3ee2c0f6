//! The scheduler as a pure step function: inputs and `now` in, actions out.
//!
//! One load or unload in flight per pool, shared by all who wait; only idle residents are evicted;
//! a waiting swap is overtaken only within the bounds of `[scheduler]`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use super::{
    context_size::ContextHistory, detached::DetachedResident, engine_reload::LostResident,
    foreign_memory::ForeignMemory, linger::AgentLinger, model_queue::ModelQueue,
    model_size::ModelSize,
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    client::ClientId,
    engine::Tuple,
    event::{Event, EvictionReason},
    scheduler::{
        messages::{Action, EngineFacts, Input, LoadCommand, PermitRequest},
        persisted::OwnedResident,
    },
};

/// An engine and its name of a model.
pub(super) type ModelKey = (Arc<str>, Arc<str>);
/// A model, and with which options beside the request's.
pub(super) type Reservation = (ModelKey, u64);

/// One instance of a model.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a resident"
)]
pub(super) struct Resident {
    pub(super) info: ResidentInfo,
    /// What Crucible loaded it with, where it did.
    pub(super) tuple: Option<Tuple>,
    pub(super) pinned: bool,
    pub(super) permits_out: u32,
    pub(super) idle_since: Instant,
    /// When it was first known.
    pub(super) first_seen: Instant,
    /// The engine no longer lists it: it goes with its last permit.
    pub(super) unlisted: bool,
    /// An engine without load control did not list it: it serves because a request came.
    pub(super) assumed: bool,
    /// Loaded, and nobody was granted it yet.
    pub(super) never_granted: bool,
    /// Ours went, and the engine loaded it again by itself, with less context.
    pub(super) reloaded_smaller: bool,
    /// Of its pool's memory; 0: not known.
    pub(super) bytes: u64,
    /// Sessions that its slots served last, the latest at the end; `None` is one that told none.
    pub(super) warm_sessions: VecDeque<Option<u64>>,
    /// Agents that are expected back.
    pub(super) lingers: Vec<AgentLinger>,
    /// When the engine was last told to keep it.
    pub(super) keep_alive_sent: Instant,
    pub(super) unload_backoff: UnloadBackoff,
}

/// The backoff of an unload that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnloadBackoff {
    pub(super) not_before: Option<Instant>,
    pub(super) delay: Duration,
}

pub(super) struct EngineState {
    pub(super) facts: EngineFacts,
    pub(super) residents: Vec<Resident>,
    /// One for each model that somebody waits for, and for each of its variants.
    pub(super) queues: Vec<ModelQueue>,
    /// Generations and embeddings that wait.
    pub(super) waiting_by_lane: [usize; 2],
    /// Embedding permits out.
    pub(super) embedding_permits_out: u32,
    /// Mean time from grant to release, and of how many.
    pub(super) service_time: (Duration, u32),
    /// A load never ended while the engine answered its polls.
    pub(super) wedged: bool,
    /// By model: bytes of loads that were given up, until the engine tells what it holds.
    pub(super) abandoned_loads: BTreeMap<Arc<str>, u64>,
    /// Polls up to this one may have begun before the last operation ended.
    distrust_polls_to: u64,
    /// When the last load ended: from then on a swap's age counts, else in a long queue every model
    /// would be swapped out as soon as it is in.
    pub(super) last_load_ended: Option<Instant>,
}

/// Where a waiter is to be found.
pub(super) struct WaitingTicket {
    pub(super) engine: Arc<str>,
    pub(super) model: Arc<str>,
    /// As it was asked for.
    pub(super) name: Arc<str>,
    /// Of its name, when it came.
    pub(super) option_variant: u64,
    pub(super) kind: ModelKind,
    pub(super) deadline: Instant,
    pub(super) supersede_key: Option<u64>,
}

/// A permit that is out.
pub(super) struct ActivePermit {
    pub(super) engine: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) kind: ModelKind,
    pub(super) granted_at: Instant,
    pub(super) client: ClientId,
    pub(super) session: Option<u64>,
    pub(super) class: Class,
}

/// A load or unload in flight.
pub(super) struct PoolOperation {
    pub(super) engine: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) started: Instant,
    pub(super) exclusive: bool,
    pub(super) kind: OperationKind,
    /// Bytes that a load is expected to take.
    pub(super) bytes: u64,
    /// Polls of the engine when it began.
    pub(super) polls_at_start: u64,
}

pub(super) enum OperationKind {
    Load(LoadCommand),
    Unload {
        instance: Arc<str>,
        reason: EvictionReason,
        /// What is to be loaded then.
        room_for: Option<Reservation>,
    },
}

/// A load that failed.
pub(super) struct LoadBackoff {
    pub(super) retry_at: Instant,
    pub(super) delay: Duration,
    pub(super) message: String,
    /// It may fit when something else goes.
    pub(super) out_of_memory: bool,
    /// The engine does not have the model.
    pub(super) model_missing: bool,
}

/// The whole state.
#[derive(Default)]
pub struct Scheduler {
    pub(super) engines: Vec<EngineState>,
    pub(super) waiting_tickets: HashMap<u64, WaitingTicket>,
    pub(super) deadlines: BTreeSet<(Instant, u64)>,
    /// Waiting tickets that a newer request may replace.
    pub(super) supersedable: HashMap<u64, u64>,
    pub(super) active_permits: HashMap<u64, ActivePermit>,
    /// By pool.
    pub(super) operations: BTreeMap<Arc<str>, PoolOperation>,
    /// By pool: what room was made for.
    pub(super) reservations: BTreeMap<Arc<str>, Reservation>,
    pub(super) load_backoffs: HashMap<ModelKey, LoadBackoff>,
    pub(super) context_histories: HashMap<ModelKey, ContextHistory>,
    /// How long the last load took.
    pub(super) load_times: HashMap<ModelKey, Duration>,
    /// Tokens and bytes of the last load.
    pub(super) measured_sizes: HashMap<ModelKey, (u64, u64)>,
    /// Loads that were given up, and when: the engine may yet end them.
    pub(super) timed_out_loads: HashMap<ModelKey, (Tuple, Instant)>,
    /// Residents of ours that an engine lost while they were used, and may load again by itself.
    pub(super) lost_residents: HashMap<ModelKey, LostResident>,
    /// When something was last loaded for a client, as a number that grows.
    pub(super) client_load_turns: BTreeMap<ClientId, u64>,
    /// Pinned models, as they are loaded again.
    pub(super) pinned_requests: BTreeMap<ModelKey, Arc<PermitRequest>>,
    /// Loaded by an earlier run, and not seen yet.
    pub(super) adoptable_residents: Vec<OwnedResident>,
    /// Loaded on engines that are configured no more, and still used.
    pub(super) detached_residents: Vec<DetachedResident>,
    /// Loaded by the Crucible that owns the folder of state.
    pub(super) owner_residents: Vec<OwnedResident>,
    /// Of an earlier run, for engines not seen yet: contexts, and what was configured then.
    pub(super) restored_contexts: HashMap<ModelKey, (u64, Option<u64>)>,
    /// What other programs hold of the graphics cards, where it is known.
    pub(super) foreign_memory: Option<ForeignMemory>,
    /// When an operation on them ended last.
    pub(super) gpu_operation_ended: Option<Instant>,
    /// By pool: the most bytes that its models took.
    pub(super) peak_bytes: BTreeMap<Arc<str>, u64>,
    /// Grows when what is to outlive this run changes.
    pub(super) revision: u64,
    /// Crucible ends; true: what it loaded is unloaded.
    pub(super) draining: Option<bool>,
    last_step: Option<Instant>,
}

/// `None` where no clock reaches.
pub(super) fn deadline_after(at: Instant, wait: Duration) -> Option<Instant> {
    at.checked_add(wait)
}

pub(super) const fn lane_index(kind: ModelKind) -> usize {
    match kind {
        ModelKind::Generation => 0,
        ModelKind::Embedding => 1,
    }
}

// === impl Resident ===

impl Resident {
    pub(super) fn new(info: ResidentInfo, now: Instant) -> Self {
        Self {
            info,
            tuple: None,
            pinned: false,
            permits_out: 0,
            idle_since: now,
            first_seen: now,
            unlisted: false,
            assumed: false,
            never_granted: false,
            reloaded_smaller: false,
            bytes: 0,
            warm_sessions: VecDeque::new(),
            lingers: Vec::new(),
            keep_alive_sent: now,
            unload_backoff: UnloadBackoff::default(),
        }
    }

    /// A slot takes the prompt of that session, and the one that was longest unused is lost.
    pub(super) fn occupy_slot(&mut self, session: Option<u64>, permits: u32) {
        let own = |held: &Option<u64>| session.is_some() && *held == session;
        let slots = self.info.parallel.unwrap_or(permits).max(1) as usize;
        if let Some(at) = self.warm_sessions.iter().position(own) {
            self.warm_sessions.remove(at);
        } else if self.warm_sessions.len() >= slots {
            self.warm_sessions.pop_front();
        }
        self.warm_sessions.push_back(session);
    }

    /// Idle, and not in the backoff of an unload that failed.
    pub(super) fn can_unload_now(&self, now: Instant) -> bool {
        let retried = self.unload_backoff.not_before.is_none_or(|at| at <= now);
        self.permits_out == 0 && retried
    }
}

// === impl EngineState ===

impl EngineState {
    pub(super) fn new(facts: EngineFacts) -> Self {
        Self {
            facts,
            residents: Vec::new(),
            queues: Vec::new(),
            waiting_by_lane: [0; 2],
            embedding_permits_out: 0,
            service_time: (Duration::ZERO, 0),
            wedged: false,
            abandoned_loads: BTreeMap::new(),
            distrust_polls_to: 0,
            last_load_ended: None,
        }
    }

    pub(super) fn queue_index(&self, model: &str, variant: u64, kind: ModelKind) -> Option<usize> {
        let own =
            |l: &ModelQueue| l.kind == kind && l.option_variant == variant && *l.model == *model;
        self.queues.iter().position(own)
    }

    /// Somebody waits for that model.
    pub(super) fn has_waiters_for(&self, model: &str) -> bool {
        self.queues.iter().any(|l| *l.model == *model)
    }

    /// A load that no poll has seen yet keeps what its order said; gives whether this list counts.
    pub(super) fn accepts_listing(&mut self, facts: &EngineFacts) -> bool {
        if facts.polls < self.facts.polls {
            // It was configured anew and counts from the start.
            self.distrust_polls_to = 0;
        }
        facts.listing_poll > self.distrust_polls_to
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// One step.
    pub fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        let mut newcomer = None;
        let comes_or_goes = matches!(
            input,
            Input::Loaded(..) | Input::FoundLoaded(..) | Input::Fleet(_)
        );
        match input {
            Input::Arrive(request) => newcomer = self.enqueue(request, now, actions),
            Input::Cancelled(ticket) => self.cancel(ticket),
            Input::Released(ticket) => self.release_permit(ticket, false, now, actions),
            Input::ReleasedForTools(ticket) => self.release_permit(ticket, true, now, actions),
            Input::Loaded(engine, info) => self.load_ended(&engine, info, true, now, actions),
            Input::FoundLoaded(engine, info) => self.load_ended(&engine, info, false, now, actions),
            Input::LoadFailed(engine, failure) => self.load_failed(&engine, failure, now, actions),
            Input::Unloaded(engine, gone) => self.unload_ended(&engine, gone, now, actions),
            Input::Fleet(fleet) => self.apply_fleet(fleet, now, actions),
            Input::Restore(memory) => self.restore(memory),
            Input::OwnerState(memory) => self.owner_residents = memory.owned,
            Input::Drain(unload) => self.start_drain(unload, actions),
            Input::Tick => {}
        }
        if comes_or_goes {
            self.record_peak_bytes();
        }
        self.expire_operations(now, actions);
        if self.draining.is_some() {
            self.start_exit_unloads(now, actions);
        } else {
            self.refuse_expired(now, actions);
            self.grant_permits(now, actions);
            if let Some(ticket) = newcomer {
                self.enforce_queue_limit(ticket, now, actions);
            }
            self.start_operations(now, actions);
        }
        self.last_step = Some(now);
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        // What was due by the last step was looked at then.
        let seen = self.last_step.unwrap_or(now);
        let waits = self.deadlines.first().map(|(at, _)| *at);
        let ends = self
            .operations
            .values()
            .filter_map(PoolOperation::times_out_at);
        let chores = self.maintenance_deadlines().filter(|at| *at > seen);
        let retries = self
            .engines
            .iter()
            .filter(|e| !e.queues.is_empty() || self.draining.is_some())
            .flat_map(|e| &e.residents)
            .filter_map(|r| r.unload_backoff.not_before)
            .filter(|at| *at > seen);
        waits
            .into_iter()
            .chain(ends)
            .chain(chores)
            .chain(self.next_linger_end(seen))
            .chain(retries)
            .min()
    }

    /// Whether [`Input::Drain`] came: no permit is granted any more.
    pub const fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Nothing is left to do before the end.
    pub fn drained(&self) -> bool {
        self.draining.is_some() && self.operations.is_empty() && !self.has_exit_unloads()
    }

    /// Whether an engine of that name is known.
    pub fn has_polled(&self, engine: &str) -> bool {
        // Facts from before the first poll say nothing of residents or load control.
        self.facts(engine).is_some_and(|facts| facts.polls > 0)
    }

    /// What that engine is.
    pub fn facts(&self, engine: &str) -> Option<&EngineFacts> {
        self.engine(engine).map(|e| &e.facts)
    }

    pub(super) fn engine_index(&self, engine: &str) -> Option<usize> {
        self.engines.iter().position(|e| *e.facts.name == *engine)
    }

    pub(super) fn engine(&self, engine: &str) -> Option<&EngineState> {
        self.engines.iter().find(|e| *e.facts.name == *engine)
    }

    pub(super) fn engine_mut(&mut self, engine: &str) -> Option<&mut EngineState> {
        self.engines.iter_mut().find(|e| *e.facts.name == *engine)
    }

    /// What is known of a model's memory.
    pub(super) fn model_size(&self, facts: &EngineFacts, model: &Arc<str>) -> ModelSize {
        let key = (Arc::clone(&facts.name), Arc::clone(model));
        ModelSize::from_facts(facts, model, self.measured_sizes.get(&key).copied())
    }

    /// The operation of an engine, under whatever pool it was begun.
    pub(super) fn engine_operation(&self, engine: &str) -> Option<&PoolOperation> {
        self.operations.values().find(|o| *o.engine == *engine)
    }

    /// Ends the operation of an engine; a poll that may have begun before is not believed.
    pub(super) fn finish_operation(&mut self, engine: &str) -> Option<PoolOperation> {
        let pool = self
            .operations
            .iter()
            .find(|(_, o)| *o.engine == *engine)
            .map(|(pool, _)| Arc::clone(pool))?;
        if let Some(state) = self.engine_mut(engine) {
            state.distrust_polls_to = state.facts.polls + 1;
        }
        self.operations.remove(&pool)
    }
}

/// Tells that a resident went.
pub(super) fn evicted_action(
    engine: &Arc<str>,
    model: &Arc<str>,
    reason: EvictionReason,
) -> Action {
    Action::Emit(Event::Evicted {
        engine: Arc::clone(engine),
        model: Arc::clone(model),
        reason,
    })
}
