//! What the scheduler is told and what it orders.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::{Class, EngineKind, Fit};

use crate::{
    catalog::{ModelInfo, ModelKind, ResidentInfo},
    client::ClientId,
    engine::Tuple,
    event::{Event, LoadTrigger},
    refusal::Refusal,
    scheduler::persisted::PersistedState,
};

/// What the scheduler knows of an engine; all of them are sent again with every change.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each as the configuration or the engine says it"
)]
pub struct EngineFacts {
    /// Name.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: EngineKind,
    /// Its pool.
    pub pool: Arc<str>,
    /// Where it is, without credentials: what Crucible loaded is known again by it.
    pub url: Arc<str>,
    /// It computes on a GPU: its share of the pool is what it holds there.
    pub on_gpu: bool,
    /// Bytes that the models of its pool may have together; `None`: only counts limit.
    pub pool_budget: Option<u64>,
    /// Memory of all graphics cards of its machine, where it computes there and all of them tell.
    pub gpu_memory: Option<GpuMemory>,
    /// Bytes that this pool shares with the others that have a parent (unified memory).
    pub shared_budget: Option<u64>,
    /// After this long without a request, what Crucible loaded is unloaded; `None`: never.
    pub model_ttl: Option<Duration>,
    /// What it can run.
    pub models: Arc<Vec<ModelInfo>>,
    /// The pool never loads while another one does.
    pub exclusive: bool,
    /// Loads may be ordered; false where Crucible only observes.
    pub load_control: bool,
    /// It is a child of Crucible and ends with it.
    pub is_child: bool,
    /// Per resident.
    pub permits_per_resident: u32,
    /// Bound of the queue, for each lane.
    pub queue_limit: usize,
    /// Generation models at once.
    pub max_loaded_models: usize,
    /// May evict what others loaded.
    pub evict_foreign: bool,
    /// This Crucible owns its folder of state: what nobody else claims is left from an earlier run
    /// of its own.
    pub owns_state: bool,
    /// May load a model anew with more context that others loaded with too little.
    pub grow_foreign: bool,
    /// Overtakers of a waiting swap.
    pub overtake_count: u32,
    /// Age after which nobody overtakes it.
    pub overtake_age: Duration,
    /// A model is held this long after an answer that ended in tool calls.
    pub linger: Duration,
    /// For one load.
    pub load_timeout: Duration,
    /// How long loads of its models took in earlier runs.
    pub load_times: BTreeMap<Arc<str>, Duration>,
    /// How long requests held their permit in earlier runs.
    pub service_time: Option<Duration>,
    /// Polls so far, failed ones too.
    pub polls: u64,
    /// The last of them was answered.
    pub last_poll_answered: bool,
    /// Number of the poll that told the residents; one that may have begun before an operation ended
    /// is not believed.
    pub listing_poll: u64,
    /// What it holds.
    pub residents: Vec<ResidentInfo>,
    /// Models of this engine that are never unloaded, by their runners.
    pub pinned_models: Vec<Arc<str>>,
    /// By name, where another name of the same runner is loaded with other options than this one: a
    /// number for them.
    pub option_variants: BTreeMap<Arc<str>, u64>,
}

/// Memory of graphics cards in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// All of it.
    pub total: u64,
    /// Nobody holds it.
    pub free: u64,
    /// When that was so.
    pub read_at: Instant,
}

/// One request that wants a permit.
#[derive(Clone, Debug)]
pub struct PermitRequest {
    /// Unique, ascending.
    pub ticket: u64,
    /// For views.
    pub request_id: Arc<str>,
    /// Engine.
    pub engine: Arc<str>,
    /// Model, by its runner: names that share one are one model here.
    pub model: Arc<str>,
    /// The name that was asked for.
    pub name: Arc<str>,
    /// Generation or embedding; each has a lane of its own.
    pub kind: ModelKind,
    /// Tokens of its prompt: it is refused where these do not fit.
    pub prompt_tokens: u64,
    /// Tokens that are kept for its answer, or what is left for it.
    pub answer_tokens: u64,
    /// Context per request that is configured for its model, whoever asks.
    pub configured_context: u64,
    /// Context that its client's requests needed lately, 0 where that is not known: a first load
    /// has room for it where there is memory to spare.
    pub expected_context: u64,
    /// An agent's, whose prompts become longer from turn to turn.
    pub growing_prompts: bool,
    /// Context per request that is configured for this request, or that it asks for itself.
    pub base_context: u64,
    /// Growth ends here.
    pub context_cap: u64,
    /// Whether it may grow at all.
    pub fit: Fit,
    /// Options of a load; the context is chosen by the scheduler.
    pub tuple: Tuple,
    /// Never evicted.
    pub pin: bool,
    /// It is content with what is loaded, and refused where that would have to change.
    pub resident_only: bool,
    /// A request or a warm-up.
    pub trigger: LoadTrigger,
    /// The wait ends here.
    pub deadline: Instant,
    /// Who asks: clients take turns and share a full queue.
    pub client: ClientId,
    /// From then on its answer has begun with 200, so a full queue refuses it no more; `None`: its
    /// status is open until the end of the wait.
    pub commits_at: Option<Instant>,
    /// Interactive goes first.
    pub class: Class,
    /// Of one conversation, where the client tells: its prompt may still be warm in a slot.
    pub session: Option<u64>,
    /// A waiting request of the same number is dropped for this one.
    pub supersede_key: Option<u64>,
}

// === impl Arrival ===

impl PermitRequest {
    /// The most that this request's model can ever be loaded with.
    pub fn context_limit(&self) -> u64 {
        match self.fit {
            Fit::Reject => self.base_context,
            Fit::Grow => self.context_cap.max(self.base_context),
        }
    }

    /// Tokens of context without which it cannot be answered: the prompt, and one to answer with.
    pub fn minimum_context(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.answer_tokens.min(1))
    }

    /// Tokens of context that it is to have: prompt and answer, as far as its model may have them.
    pub fn needed_context(&self) -> u64 {
        let wanted = self.prompt_tokens.saturating_add(self.answer_tokens);
        wanted.min(self.context_limit()).max(self.minimum_context())
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A request.
    Arrive(Arc<PermitRequest>),
    /// It left.
    Cancelled(u64),
    /// Its permit came back.
    Released(u64),
    /// Its permit came back after an answer that ended in tool calls: the agent's next turn follows.
    ReleasedForTools(u64),
    /// The load of an engine ended well.
    Loaded(Arc<str>, ResidentInfo),
    /// Nothing was loaded: another Crucible's load of the same model came before.
    FoundLoaded(Arc<str>, ResidentInfo),
    /// The load of an engine failed.
    LoadFailed(Arc<str>, LoadFailure),
    /// The unload of an engine ended; false: it failed.
    Unloaded(Arc<str>, bool),
    /// All engines that there are.
    Fleet(Vec<EngineFacts>),
    /// What an earlier run of Crucible loaded and learned.
    Restore(PersistedState),
    /// What the Crucible that owns the folder of state loaded there.
    OwnerState(PersistedState),
    /// Crucible ends; true: what it loaded is unloaded.
    Drain(bool),
    /// Time passed.
    Tick,
}

/// How a load failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailure {
    /// In the engine's words.
    Refused(String),
    /// There was not enough memory; in the engine's words.
    OutOfMemory(String),
    /// It does not have the model any more; in the engine's words.
    ModelMissing(String),
    /// The connection broke before the engine said how it ended.
    ConnectionLost(String),
    /// Over its budget.
    Timeout,
}

/// A load to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadCommand {
    /// Engine.
    pub engine: Arc<str>,
    /// Model, by its runner.
    pub model: Arc<str>,
    /// The name that it is loaded under.
    pub name: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// With these options.
    pub tuple: Tuple,
    /// Context per request that is configured for the model; `None`: what is there is only renewed.
    pub configured_context: Option<u64>,
    /// Context per request that those who wait need; what is loaded beyond it is to spare.
    pub needed_context: Option<u64>,
    /// Requests that will share it.
    pub permits: u32,
    /// For the load.
    pub timeout: Duration,
    /// Never evicted once it is there.
    pub pin: bool,
    /// Bytes that it is expected to take, where that is more than its pool may have.
    pub over_budget_bytes: Option<u64>,
    /// Why.
    pub trigger: LoadTrigger,
}

/// A permit that is given.
#[derive(Clone, Debug, PartialEq)]
pub struct PermitGrant {
    /// To whom.
    pub ticket: u64,
    /// The resident.
    pub resident: ResidentInfo,
    /// Options to repeat on the request.
    pub tuple: Tuple,
    /// A load was part of the wait.
    pub waited_for_load: bool,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Give the permit.
    Grant(PermitGrant),
    /// Refuse.
    Reject(u64, Refusal),
    /// Load.
    Load(LoadCommand),
    /// Unload from that engine.
    Unload(Arc<str>, ResidentInfo),
    /// Tell the observer.
    Emit(Event),
}
