//! The state of a running instance at this moment: `GET /crucible/state`.
//!
//! ```
//! use crucible_documents::StateDoc;
//! use crucible_router::view::View;
//!
//! let state = StateDoc::of(&View::default());
//! let text = serde_json::to_string(&state).unwrap();
//! assert_eq!(
//!     text,
//!     r#"{"owns_state":false,"engines":[],"pools":[],"queue":[],"in_flight":[]}"#
//! );
//! assert_eq!(serde_json::from_str::<StateDoc>(&text).unwrap(), state);
//! // A document of another program is none of ours.
//! assert!(serde_json::from_str::<StateDoc>("{}").is_err());
//! ```

mod of_view;

use std::{sync::Arc, time::SystemTime};

use crucible_config::checked::{Device, EngineKind};
use crucible_router::{
    catalog::ModelKind,
    plan::Reason,
    view::{BreakerState, Health},
};
use serde::{Deserialize, Serialize};

use crate::number::{unix_millis, unix_seconds};

/// Engines, pools, waiting requests and requests in flight, all of one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateDoc {
    /// The program that says so; absent where no server was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceDoc>,
    /// Whether the folder of state is this Crucible's own; false where another one that runs owns it.
    pub owns_state: bool,
    /// Engines in configured order, then those that were discovered.
    pub engines: Vec<EngineDoc>,
    /// Pools in the order in which their first engine stands.
    pub pools: Vec<PoolDoc>,
    /// Requests that wait for a permit, in order of arrival at each engine.
    pub queue: Vec<WaiterDoc>,
    /// Requests that have come and have not ended, each with its phase; empty where no server was asked. Those in
    /// phase `queue` stand in [`Self::queue`] too; an engine works on those in `prefill` and `stream`, which are
    /// what `crucible_requests_in_flight` counts.
    pub in_flight: Vec<InFlightDoc>,
    /// Conversations whose turns do not go on from each other, the latest first; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<BrokenPrefixDoc>,
}

/// A running Crucible: its version, and since when it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDoc {
    /// The version of the program.
    pub version: String,
    /// The start of the process, in seconds since 1970.
    pub started_unix: u64,
    /// Its clock at this moment, in milliseconds since 1970: a reader on another machine may have another one.
    /// Absent in older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now_ms: Option<u64>,
}

/// One engine in `GET /crucible/state`: what it is, how it is, and what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineDoc {
    /// The engine's name in the configuration, in `engine/model` and in labels.
    pub name: Arc<str>,
    /// The kind of the engine.
    pub kind: EngineKind,
    /// The device that the engine computes on, `auto` already resolved.
    pub device: Device,
    /// The pool whose memory its models take.
    pub pool: Arc<str>,
    /// The address of the engine without credentials; empty for a child that does not run.
    pub url: String,
    /// The health of the engine, by its polls.
    pub state: Health,
    /// The circuit breaker of its data path.
    pub breaker: BreakerState,
    /// The error of the last poll, in words.
    pub error: Option<String>,
    /// The version of the engine, where it reports one.
    pub version: Option<String>,
    /// The facts that a person should know of the engine, one sentence each.
    pub advice: Vec<String>,
    /// Whether it was found on a default port instead of being configured.
    pub discovered: bool,
    /// Whether Crucible can load and unload models there.
    pub load_control: bool,
    /// Whether it answers polls while loads or requests find no end.
    pub wedged: bool,
    /// The names of its models, as it listed them last.
    pub models: Vec<Arc<str>>,
    /// Permits of each of its residents.
    pub permits: PermitsDoc,
    /// The queue of the engine.
    pub queue: QueueDoc,
    /// The engine's reports on each of `models`, in the same order.
    #[serde(default)]
    pub catalog: Vec<ModelDoc>,
}

/// One model of an engine, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDoc {
    /// The engine's exact name for it.
    pub model: Arc<str>,
    /// Whether it answers prompts or makes vectors.
    pub kind: ModelKind,
    /// The bytes of its weights.
    pub size_bytes: Option<u64>,
    /// The quantization of the model, such as `Q4_K_M`.
    pub quantization: Option<String>,
    /// The longest context that it was trained for, in tokens.
    pub max_context: Option<u64>,
}

/// The permits of an engine: how many requests it may answer at once, and how many it answers now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitsDoc {
    /// Permits of each resident.
    pub limit: u32,
    /// Permits that requests hold now, of all residents.
    pub active: u32,
}

/// The queue of an engine: how many requests may wait for a permit, and how many wait now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDoc {
    /// The most requests that may wait.
    pub limit: u32,
    /// Requests that wait now.
    pub waiting: u32,
}

/// Memory that engines share, and what is loaded there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolDoc {
    /// The pool's name.
    pub name: Arc<str>,
    /// The bytes that its models may take together; null where it is not known.
    pub budget_bytes: Option<u64>,
    /// The bytes that its models are counted with.
    pub used_bytes: u64,
    /// The bytes of graphics memory that other programs hold, where the cards tell.
    #[serde(default)]
    pub others_bytes: Option<u64>,
    /// The most bytes that its models were counted with since the start.
    #[serde(default)]
    pub peak_bytes: u64,
    /// The load that is running; there is at most one in a pool.
    pub loading: Option<LoadingDoc>,
    /// Loaded models of all its engines.
    pub residents: Vec<ResidentDoc>,
}

/// A load that is in flight in a pool, with the time that it is expected to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadingDoc {
    /// The model that is being loaded.
    pub model: Arc<str>,
    /// The seconds since the load began.
    pub since: f64,
    /// The seconds that it usually takes, where that was measured or can be estimated.
    pub expected_s: Option<f64>,
}

/// A model that is loaded in a pool, with its context, its memory and who uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResidentDoc {
    /// The engine that holds it.
    pub engine: Arc<str>,
    /// The name that it was loaded under.
    pub model: Arc<str>,
    /// All names that it answers to, beginning with `model`.
    #[serde(default)]
    pub names: Vec<Arc<str>>,
    /// The engine's name of this instance.
    #[serde(default)]
    pub instance: Arc<str>,
    /// The tokens of context in effect, all slots together.
    pub context: Option<u64>,
    /// The bytes of memory on all devices.
    pub bytes: Option<u64>,
    /// The bytes of these on a graphics card.
    #[serde(default)]
    pub vram_bytes: Option<u64>,
    /// Requests that it answers now.
    pub active: u32,
    /// The seconds since its last answer ended.
    pub idle_s: f64,
    /// Whether it is never unloaded.
    pub pinned: bool,
    /// Whether Crucible loaded it.
    pub owned: bool,
    /// The last prompts that were sent to it, the newest last; at most 8 for each of its names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<PromptDoc>,
    /// When the engine will unload it by itself, in seconds since 1970.
    #[serde(default)]
    pub expires_unix: Option<u64>,
}

/// A prompt that a model has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptDoc {
    /// The tokens of the request, as the engine counted them.
    pub tokens: u64,
    /// The tokens that the engine had in its cache and did not read again; null where that is not known.
    pub cached: Option<u64>,
    /// Whether `cached` is estimated from the times of the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// A conversation in which a turn changed what came before it, so that its engine reads it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenPrefixDoc {
    /// The client: `key NAME`, else its program and address.
    pub client: Arc<str>,
    /// The engine that answered last.
    pub engine: Arc<str>,
    /// The model that answered last.
    pub model: Arc<str>,
    /// The last such turn and where it differs from the one before: `turn 7: the system prompt differs
    /// within its first 256 bytes`.
    pub differs: String,
    /// The turns of the conversation that differed.
    pub turns: u32,
    /// Those of them of which less than half was cached.
    pub reread_turns: u32,
    /// The tokens of the prompt of that turn; null where its engine did not count them.
    pub prompt_tokens: Option<u64>,
    /// The tokens of it that were cached.
    pub cached_tokens: Option<u64>,
    /// One thing to do about it.
    pub fix: String,
}

/// A request that waits for a permit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaiterDoc {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The engine that it waits for.
    pub engine: Arc<str>,
    /// The model that it waits for.
    pub model: Arc<str>,
    /// The position in the queue of that engine; 1 is next.
    pub position: u32,
    /// The seconds that it has waited.
    pub waiting_s: f64,
    /// The thing that the request waits for, in one word.
    pub reason: String,
}

/// A request that is being answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlightDoc {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The client: `key NAME`, else its program and address; absent until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<str>>,
    /// The engine that answers; null until it is chosen.
    pub engine: Option<Arc<str>>,
    /// The model that answers; null until it is chosen.
    pub model: Option<Arc<str>>,
    /// The reason why that candidate was chosen.
    pub reason: Option<Reason>,
    /// The phase of the request: `reading`, `queue`, `prefill` or `stream`.
    pub phase: String,
    /// The seconds since the request came.
    pub since_s: f64,
    /// Events with content so far.
    pub tokens: u32,
    /// How far the engine has read the prompt; only in phase `prefill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill: Option<PrefillDoc>,
}

/// The reading of a prompt before the first token of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefillDoc {
    /// The tokens of the whole prompt; an estimate unless the engine reports them in its stream.
    pub total: u64,
    /// The tokens of it that the engine had in its cache; null where that is not known.
    pub cached: Option<u64>,
    /// The tokens that are behind the engine, cached ones included.
    pub processed: u64,
    /// The part of the prompt that is behind the engine, from 0 to 1.
    pub ratio: f64,
    /// The seconds until the rest is read, by the pace so far; null where that is not known, or where it
    /// takes longer than predicted.
    pub remaining_s: Option<f64>,
    /// Where these numbers come from.
    pub source: PrefillSource,
}

/// The source of the numbers on the reading of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrefillSource {
    /// The engine reports them.
    Engine,
    /// The slots of the runner of an Ollama on this machine show them.
    Runner,
    /// Nobody reports them: they are predicted by the model's measured rate, or by a prior of the device.
    Estimate,
}

// === impl InstanceDoc ===

impl InstanceDoc {
    /// The document of an instance of this version that was started then, at this moment.
    pub fn new(version: &str, started: SystemTime) -> Self {
        Self {
            version: version.to_owned(),
            started_unix: unix_seconds(started).unwrap_or_default(),
            now_ms: unix_millis(SystemTime::now()),
        }
    }
}

// === impl EngineDoc ===

impl EngineDoc {
    /// Whether the engine answers, if not always, so that it gets requests.
    pub fn is_up(&self) -> bool {
        matches!(self.state, Health::Up | Health::Degraded)
    }
}

// === impl StateDoc ===

impl StateDoc {
    /// Whether an engine answers, if not always.
    pub fn any_up(&self) -> bool {
        self.engines.iter().any(EngineDoc::is_up)
    }

    /// The resident that answers to this name of a model, where the model is loaded.
    pub fn resident(&self, engine: &str, model: &str) -> Option<&ResidentDoc> {
        let mut residents = self.residents();
        residents.find(|resident| {
            *resident.engine == *engine && resident.names.iter().any(|name| **name == *model)
        })
    }

    /// Everything that is loaded, pool by pool.
    pub fn residents(&self) -> impl Iterator<Item = &ResidentDoc> {
        self.pools.iter().flat_map(|pool| &pool.residents)
    }
}
