//! The whole state of the scheduler, and how its parts are found.
//!
//! The state is plain data in maps by name, pool or ticket; every decision is made by an `impl
//! Scheduler` block in the file of its concept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;
use foldhash::fast::RandomState;

use super::{
    context_size::ContextHistory,
    engine_state::EngineState,
    model_key::{ModelKey, Reservation},
    model_size::ModelSize,
    ownership::{DetachedResident, LostResident},
    pool_operation::PoolOperation,
};
use crate::{
    catalog::ModelKind,
    client::ClientId,
    engine::LoadTuple,
    scheduler::{
        messages::{EngineFacts, PermitRequest},
        persisted::OwnedResident,
    },
};

/// The way from a ticket to the queue in which its request waits.
pub(super) struct WaitingTicket {
    /// The name of the engine.
    pub(super) engine: Arc<str>,
    /// The model by the name of its runner.
    pub(super) model: Arc<str>,
    /// The name of the model as it was asked for.
    pub(super) name: Arc<str>,
    /// The variant of that name's options when the request came.
    pub(super) option_variant: u64,
    /// Generation or embedding.
    pub(super) kind: ModelKind,
    /// The time at which the wait ends with a refusal.
    pub(super) deadline: Instant,
    /// The key under which a newer request may replace it.
    pub(super) supersede_key: Option<u64>,
}

/// A permit that is granted and has not come back.
pub(super) struct ActivePermit {
    /// The name of the engine.
    pub(super) engine: Arc<str>,
    /// The instance that it is for.
    pub(super) instance: Arc<str>,
    /// Generation or embedding.
    pub(super) kind: ModelKind,
    /// The time of the grant.
    pub(super) granted_at: Instant,
    /// The client that holds it.
    pub(super) client: ClientId,
    /// The conversation, where the client names one.
    pub(super) session: Option<u64>,
    /// The class of the request.
    pub(super) class: Class,
}

/// The backoff after a load that failed: the same load is refused until its end.
pub(super) struct LoadBackoff {
    /// The end of the backoff.
    pub(super) retry_at: Instant,
    /// The length of the backoff, which doubles with each failure.
    pub(super) delay: Duration,
    /// The words that those who ask meanwhile are refused with.
    pub(super) message: String,
    /// Whether memory was short: it may fit when another model goes.
    pub(super) out_of_memory: bool,
    /// Whether the engine did not have the model: it is tried again at once.
    pub(super) model_missing: bool,
}

/// Memory of this machine's graphics cards, and what other programs hold of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignMemory {
    /// The bytes of all cards together.
    pub(super) card_total: u64,
    /// The bytes that are neither free nor held by a model that Crucible knows.
    pub(super) foreign_bytes: u64,
}

/// The state of the scheduler. [`Scheduler::step`] is the only function that changes it.
#[derive(Default)]
pub struct Scheduler {
    /// All engines, in the order in which they were first seen.
    pub(super) engines: Vec<EngineState>,
    /// The requests that wait, by ticket.
    pub(super) waiting_tickets: HashMap<u64, WaitingTicket, RandomState>,
    /// The same by deadline, the next one first.
    pub(super) deadlines: BTreeSet<(Instant, u64)>,
    /// The waiting ticket that a newer request may replace, by the key that such requests share.
    pub(super) supersedable: HashMap<u64, u64, RandomState>,
    /// The permits that are out, by ticket.
    pub(super) active_permits: HashMap<u64, ActivePermit, RandomState>,
    /// The load or unload in flight, by pool.
    pub(super) operations: BTreeMap<Arc<str>, PoolOperation>,
    /// The model for which room was made, by pool.
    pub(super) reservations: BTreeMap<Arc<str>, Reservation>,
    /// The models whose last load failed.
    pub(super) load_backoffs: HashMap<ModelKey, LoadBackoff>,
    /// The contexts that each model was loaded with, and those that it could not be loaded with.
    pub(super) context_histories: HashMap<ModelKey, ContextHistory>,
    /// The time of the last load of each model.
    pub(super) load_times: HashMap<ModelKey, Duration>,
    /// The tokens of context and the bytes of the last load of each model, as the engine reported
    /// them.
    pub(super) measured_sizes: HashMap<ModelKey, (u64, u64)>,
    /// The options and the time of a load that timed out, by model. The engine may still finish it.
    pub(super) timed_out_loads: HashMap<ModelKey, (LoadTuple, Instant)>,
    /// The residents that vanished and that their engine may load again by itself, by model.
    pub(super) lost_residents: HashMap<ModelKey, LostResident>,
    /// A growing number per client that says when something was last loaded for it.
    pub(super) client_load_turns: BTreeMap<ClientId, u64>,
    /// The request by which each pinned model is loaded again.
    pub(super) pinned_requests: BTreeMap<ModelKey, Arc<PermitRequest>>,
    /// Residents of an earlier run that no engine has listed yet.
    pub(super) adoptable_residents: Vec<OwnedResident>,
    /// Residents of engines that are configured no more, and that are still used.
    pub(super) detached_residents: Vec<DetachedResident>,
    /// Residents that the Crucible loaded which owns the state directory, while this one does not.
    pub(super) owner_residents: Vec<OwnedResident>,
    /// The largest context of an earlier run and what was configured then, by address and model,
    /// for engines that were not seen yet.
    pub(super) restored_contexts: HashMap<ModelKey, (u64, Option<u64>)>,
    /// The memory that other programs hold of the graphics cards; `None` where it is not known.
    pub(super) foreign_memory: Option<ForeignMemory>,
    /// The time at which an operation on the graphics cards ended last.
    pub(super) gpu_operation_ended: Option<Instant>,
    /// The most bytes that the models of each pool took since the start.
    pub(super) peak_bytes: BTreeMap<Arc<str>, u64>,
    /// A number that grows whenever the state that outlives the run changes.
    pub(super) revision: u64,
    /// Set once Crucible ends; true where what it loaded is unloaded.
    pub(super) draining: Option<bool>,
    /// The time of the last step.
    pub(super) last_step: Option<Instant>,
}

// === impl Scheduler ===

impl Scheduler {
    /// Whether [`Input::Drain`](crate::scheduler::Input::Drain) came: no permit is granted any
    /// more.
    pub const fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether an engine of that name has been polled. Before its first poll nothing is known of
    /// its residents and of load control.
    pub fn has_polled(&self, engine: &str) -> bool {
        // Facts from before the first poll say nothing of residents or load control.
        self.facts(engine).is_some_and(|facts| facts.polls > 0)
    }

    /// The facts of an engine.
    pub fn facts(&self, engine: &str) -> Option<&EngineFacts> {
        self.engine(engine).map(|e| &e.facts)
    }

    /// The position of an engine.
    pub(super) fn engine_index(&self, engine: &str) -> Option<usize> {
        self.engines.iter().position(|e| *e.facts.name == *engine)
    }

    /// The state of an engine.
    pub(super) fn engine(&self, engine: &str) -> Option<&EngineState> {
        self.engines.iter().find(|e| *e.facts.name == *engine)
    }

    /// The state of an engine, to be changed.
    pub(super) fn engine_mut(&mut self, engine: &str) -> Option<&mut EngineState> {
        self.engines.iter_mut().find(|e| *e.facts.name == *engine)
    }

    /// Everything that is known of the memory of a model.
    pub(super) fn model_size(&self, facts: &EngineFacts, model: &Arc<str>) -> ModelSize {
        let key = (Arc::clone(&facts.name), Arc::clone(model));
        ModelSize::from_facts(facts, model, self.measured_sizes.get(&key).copied())
    }

    /// The operation that is in flight on an engine, under whatever pool it was begun.
    pub(super) fn engine_operation(&self, engine: &str) -> Option<&PoolOperation> {
        self.operations.values().find(|o| *o.engine == *engine)
    }

    /// Removes the operation of an engine. A poll that may have begun before this moment is not
    /// believed.
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
