//! The messages between the scheduler's pure state machine and its actor: inputs, actions, and what
//! they carry.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::{Class, EngineKind, Fit};

use crate::{
    catalog::{ModelInfo, ModelKind, ResidentInfo},
    client::ClientId,
    engine::LoadTuple,
    event::{Event, EvictionReason, LoadTrigger},
    refusal::Refusal,
    scheduler::persisted::PersistedState,
};

/// The facts of one engine that decisions rest on: its configuration, and its state as of the last
/// poll. The facts of all engines are sent again with every change.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each as the configuration or the engine says it"
)]
pub struct EngineFacts {
    /// The configured or discovered name of the engine.
    pub name: Arc<str>,
    /// The protocol that the engine speaks.
    pub kind: EngineKind,
    /// The name of the memory pool that its models compete for.
    pub pool: Arc<str>,
    /// The address without credentials. Residents of an earlier run are recognised by it, so that a
    /// renamed engine keeps its own.
    pub url: Arc<str>,
    /// Whether the engine computes on a GPU: then only what a resident holds there counts in the
    /// pool.
    pub on_gpu: bool,
    /// The bytes that all models of its pool may have together; `None` where only the number of
    /// models is limited.
    pub pool_budget: Option<u64>,
    /// Memory of all graphics cards of this machine; `None` where the engine does not compute
    /// there, or where one card does not report it.
    pub gpu_memory: Option<GpuMemory>,
    /// The bytes that this pool shares with every other pool that has such a budget (unified
    /// memory); `None` where it shares nothing.
    pub shared_budget: Option<u64>,
    /// Idle time after which a model that Crucible loaded is unloaded; `None`: never.
    pub model_ttl: Option<Duration>,
    /// The models that the engine can run, as it listed them last.
    pub models: Arc<Vec<ModelInfo>>,
    /// Whether its pool never loads while another pool does.
    pub exclusive: bool,
    /// Whether Crucible may load and unload here; false where it only observes.
    pub load_control: bool,
    /// Whether the engine is a child process of Crucible, and ends with it.
    pub is_child: bool,
    /// Requests that may use one resident at the same time.
    pub permits_per_resident: u32,
    /// Requests that may wait for this engine, separately for generation and for embeddings.
    pub queue_limit: usize,
    /// Generation models that may be loaded at the same time, at least 1.
    pub max_loaded_models: usize,
    /// Whether models that others loaded may be evicted.
    pub evict_foreign: bool,
    /// Whether this Crucible owns its state directory. Only the owner adopts what nobody else
    /// claims, as left by an earlier run of its own.
    pub owns_state: bool,
    /// Whether a model that others loaded with too little context may be loaded anew with more.
    pub grow_foreign: bool,
    /// Requests that may overtake a waiting swap between two loads.
    pub overtake_count: u32,
    /// Age of a waiting swap from which on nobody overtakes it.
    pub overtake_age: Duration,
    /// The time for which a model is kept after an answer that ended in tool calls.
    pub linger: Duration,
    /// The time that one load may take.
    pub load_timeout: Duration,
    /// The mean time of a load in earlier runs, by model.
    pub load_times: BTreeMap<Arc<str>, Duration>,
    /// Mean time from grant to release in earlier runs; `None` where nothing was measured.
    pub service_time: Option<Duration>,
    /// Number of polls so far, failed ones included.
    pub polls: u64,
    /// Whether the engine answered the last of them.
    pub last_poll_answered: bool,
    /// Number of the poll that listed `residents`. A listing that may have begun before an
    /// operation ended is ignored.
    pub listing_poll: u64,
    /// The models that the engine listed as loaded.
    pub residents: Vec<ResidentInfo>,
    /// The models of this engine that are never unloaded, by the names of their runners.
    pub pinned_models: Vec<Arc<str>>,
    /// The numbers of the load options in which a name differs from other names of the same runner,
    /// by name. A name that is not listed has variant 0.
    pub option_variants: BTreeMap<Arc<str>, u64>,
}

/// Memory of all graphics cards of the machine together, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// Installed memory.
    pub total: u64,
    /// Memory that no process holds.
    pub free: u64,
    /// The time of the reading.
    pub read_at: Instant,
}

/// A request that wants a permit: the right to use one resident.
#[derive(Clone, Debug)]
pub struct PermitRequest {
    /// The number of the request, unique and ascending in order of arrival.
    pub ticket: u64,
    /// The request's id in logs and headers, for views.
    pub request_id: Arc<str>,
    /// The name of the engine that is to serve it.
    pub engine: Arc<str>,
    /// The model by the name of its runner: names that share a runner are one model to the
    /// scheduler.
    pub model: Arc<str>,
    /// The name of the model as the client asked for it.
    pub name: Arc<str>,
    /// Generation or embedding. Each kind has a queue limit and permits of its own.
    pub kind: ModelKind,
    /// Estimated tokens of the prompt. The request is refused where no context holds them.
    pub prompt_tokens: u64,
    /// The tokens of context that are kept for the answer. They shrink to what is left beside the
    /// prompt where no more can be had.
    pub answer_tokens: u64,
    /// The tokens of context that are configured for the model, whoever asks.
    pub configured_context: u64,
    /// The tokens of context that this client's requests needed lately; 0 where nothing is known. A
    /// first load has room for them where memory is to spare.
    pub expected_context: u64,
    /// Whether the request is an agent's, whose prompts become longer from turn to turn.
    pub growing_prompts: bool,
    /// The tokens of context that are configured for this request, or that it asks for itself.
    pub base_context: u64,
    /// The tokens of context beyond which its model never grows.
    pub context_cap: u64,
    /// Whether the model may grow beyond its configured context at all.
    pub fit: Fit,
    /// The options of a load. The state machine replaces the context in them by the one that it
    /// chooses.
    pub tuple: LoadTuple,
    /// Whether the model is pinned: never evicted, and loaded again when it vanishes.
    pub pin: bool,
    /// Whether the request is refused where its model would have to be loaded, grown or swapped in.
    pub resident_only: bool,
    /// The cause that a load for this request is reported with.
    pub trigger: LoadTrigger,
    /// The time at which the wait ends with a refusal.
    pub deadline: Instant,
    /// The client that asks: clients take turns, and share a full queue.
    pub client: ClientId,
    /// The time from which on its answer has begun with status 200, so that a full queue can refuse
    /// it no more; `None` where its status is open until the end of the wait.
    pub commits_at: Option<Instant>,
    /// Interactive requests go before background ones.
    pub class: Class,
    /// A hash of the conversation, where the client names one: its prompt may still be warm in a
    /// slot.
    pub session: Option<u64>,
    /// A waiting request with the same key is refused in favour of this one; `None` supersedes
    /// nobody.
    pub supersede_key: Option<u64>,
}

// === impl PermitRequest ===

impl PermitRequest {
    /// Returns the most tokens of context that the request's model can ever be loaded with: its
    /// configured context with `fit = "reject"`, else the cap of the model's growth where that is
    /// larger.
    pub fn context_limit(&self) -> u64 {
        match self.fit {
            Fit::Reject => self.base_context,
            Fit::Grow => self.context_cap.max(self.base_context),
        }
    }

    /// Returns the least context in tokens with which the request can be answered: the prompt, and
    /// one token of the answer.
    pub fn minimum_context(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.answer_tokens.min(1))
    }

    /// Returns the context in tokens that the request is to have: prompt and answer, as far as its
    /// limit allows.
    pub fn needed_context(&self) -> u64 {
        let wanted = self.prompt_tokens.saturating_add(self.answer_tokens);
        wanted.min(self.context_limit()).max(self.minimum_context())
    }
}

/// Something that happened, as the actor reports it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A request asks for a permit.
    Arrive(Arc<PermitRequest>),
    /// The client of this ticket left before a permit was granted.
    Cancelled(u64),
    /// The permit of this ticket came back.
    Released(u64),
    /// The permit of this ticket came back after an answer that ended in tool calls: the agent's
    /// next turn follows.
    ReleasedForTools(u64),
    /// The load on this engine ended well, with the resident that it made.
    Loaded(Arc<str>, ResidentInfo),
    /// The load on this engine made nothing, because the engine held the model already when the load looked:
    /// another Crucible, a person or a program loaded it, and the resident is theirs.
    FoundLoaded(Arc<str>, ResidentInfo),
    /// The load on this engine failed.
    LoadFailed(Arc<str>, LoadFailure),
    /// The unload on this engine ended; false where it failed.
    Unloaded(Arc<str>, bool),
    /// The facts of all engines that there are. An engine that is not among them is gone.
    Fleet(Vec<EngineFacts>),
    /// The state that an earlier run of this Crucible left.
    Restore(PersistedState),
    /// The state of the Crucible that owns the state directory, while this one does not.
    OwnerState(PersistedState),
    /// Crucible ends: waiting requests are refused. True where what it loaded is unloaded too.
    Drain(bool),
    /// Time passed, up to the deadline that
    /// [`Scheduler::next_deadline`](super::Scheduler::next_deadline) named.
    Tick,
}

/// The way in which a load failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailure {
    /// The engine refused it, in its own words.
    Refused(String),
    /// The engine had not enough memory, in its own words.
    OutOfMemory(String),
    /// The engine does not have the model any more, in its own words.
    ModelMissing(String),
    /// The connection broke before the engine said how the load ended.
    ConnectionLost(String),
    /// The load did not end in its time.
    Timeout,
}

/// A load that the actor has to carry out.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadCommand {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The model by the name of its runner.
    pub model: Arc<str>,
    /// The name that the model is loaded under.
    pub name: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// The load options, with the context that was chosen.
    pub tuple: LoadTuple,
    /// The tokens of context per request that are configured for the model; `None` where a loaded
    /// model is only kept alive.
    pub configured_context: Option<u64>,
    /// The tokens of context per request that those who wait need; what is loaded beyond them is to
    /// spare.
    pub needed_context: Option<u64>,
    /// Requests that will share the context of the instance.
    pub permits: u32,
    /// The time that the load may take.
    pub timeout: Duration,
    /// Whether the model is never evicted once it is loaded.
    pub pin: bool,
    /// The bytes that the load is expected to take, where they exceed the budget of its pool; for a
    /// warning.
    pub over_budget_bytes: Option<u64>,
    /// The cause of the load, for events and metrics.
    pub trigger: LoadTrigger,
}

/// A permit that the actor hands to the request of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct PermitGrant {
    /// The ticket that it is granted to.
    pub ticket: u64,
    /// The resident that may be used.
    pub resident: ResidentInfo,
    /// The load options to repeat on the request (Ollama).
    pub tuple: LoadTuple,
    /// The tokens of context that the request has of the resident while others share it; `None`
    /// where the engine does not report them.
    pub context_share: Option<u64>,
    /// Whether a load was part of the wait.
    pub waited_for_load: bool,
}

/// Something that the actor has to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Hand a permit to a waiting request.
    Grant(PermitGrant),
    /// Refuse the waiting request of this ticket.
    Reject(u64, Refusal),
    /// Load a model.
    Load(LoadCommand),
    /// Unload this resident from this engine.
    Unload(Arc<str>, ResidentInfo),
    /// Report an event to the observer, which counts and logs it.
    Emit(Event),
}

// === impl Action ===

impl Action {
    /// The event that a resident left its engine.
    pub(super) fn evicted(engine: &Arc<str>, model: &Arc<str>, reason: EvictionReason) -> Self {
        Self::Emit(Event::Evicted {
            engine: Arc::clone(engine),
            model: Arc::clone(model),
            reason,
        })
    }

    /// Refuses a request because its engine is configured no more.
    pub(super) fn engine_gone(ticket: u64, model: &Arc<str>, engine: &Arc<str>) -> Self {
        let refusal = Refusal::NoEngine {
            model: model.to_string(),
            detail: format!("'{engine}' is no longer there"),
            retry_after: 5,
        };
        Self::Reject(ticket, refusal)
    }
}
