//! The checked configuration: every value present, typed and consistent.
//!
//! Built only by this crate. `router` and `proxy` read it and never see a raw setting.

mod defaults;
mod engine;
mod words;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use self::{
    defaults::{DefaultSource, FilledValue, RequestDefaults},
    engine::{Device, Engine, EngineKind, Fit, Manage, Model, ModelDefaults, Pool, Sampling},
};
use crate::glob::Globs;
pub use crate::{
    kind::Rate,
    tuning::{EnvironmentTuning, LmstudioTuning, OllamaTuning, ProfileName, Tuning},
};

/// Everything that Crucible may be told, after checking.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses for clients; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// The profile under all other layers.
    pub profile: ProfileName,
    /// Model for unknown names; without it they are 404.
    pub default_model: Option<String>,
    /// What to do with models that Crucible loaded when it ends.
    pub on_exit: OnExit,
    /// May bind beyond loopback without a key.
    pub allow_unauthenticated: bool,
    /// Optional second listener for `/metrics` and the page.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the built-in routing rules follow the configured ones.
    pub builtin_rules: bool,
    /// Host names allowed beyond the built-in rule, lower case.
    pub allowed_hosts: Vec<String>,
    /// Origins allowed beyond editors' schemes and localhost.
    pub allowed_origins: Vec<String>,
    /// Folder of the ownership file, the predictor and the event log.
    pub state_dir: PathBuf,
    /// Configured engines in file order; empty means: look on the default ports.
    pub engines: Vec<Engine>,
    /// Per-model settings in file order.
    pub models: Vec<Model>,
    /// Pools by name, only those configured.
    pub pools: BTreeMap<String, Pool>,
    /// Time budgets.
    pub timeouts: Timeouts,
    /// Size and count bounds.
    pub limits: Limits,
    /// Context policy.
    pub context: ContextPolicy,
    /// Routing by prediction.
    pub routing: Routing,
    /// Load scheduling.
    pub scheduler: SchedulerSettings,
    /// Models to load at start (besides the pinned ones).
    pub warm: Vec<String>,
    /// Log format and level.
    pub log: LogSettings,
    /// Management paths opened on purpose.
    pub guard_open: Vec<String>,
    /// Own rules in order.
    pub rules: Vec<Rule>,
    /// Virtual models: name to ordered patterns `engine/model-glob`, or other virtual names.
    pub virtual_models: IndexMap<String, Vec<String>>,
    /// Client keys.
    pub keys: Vec<Arc<ClientKey>>,
    /// The typed values of the 39 rows.
    pub tuning: Tuning,
    /// Compiled patterns of the above; one that is missing here is compiled at use.
    pub globs: Globs,
}

/// What to do at a graceful end with models that Crucible loaded.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// Unload them.
    #[default]
    Unload,
    /// Leave them for the next start to adopt.
    Leave,
}

/// Time budgets; each has its own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Waiting for a permit; 300 s.
    pub queue: Duration,
    /// No byte to the client before this or the engine's first event; 20 s.
    pub commit: Duration,
    /// One model load; 300 s.
    pub load: Duration,
    /// Request sent to first token; 300 s.
    pub first_token: Duration,
    /// Longest gap between upstream bytes after the first token; 30 s.
    pub idle: Duration,
    /// In place of `idle` for a request with tools, as long as the engine is well and at work; 600 s.
    pub tool_call: Duration,
    /// A passed-through answer that is not streamed; 600 s.
    pub response: Duration,
    /// From SIGTERM to the end; 30 s.
    pub drain: Duration,
    /// TCP connect to an engine; 2 s.
    pub connect: Duration,
    /// A client's header; 10 s.
    pub header: Duration,
    /// A client's body without progress; 30 s.
    pub body: Duration,
    /// A client that does not read; 60 s.
    pub client_stall: Duration,
}

/// Size and count bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request body in bytes, after decompression; 32 MB.
    pub body: u64,
    /// Open client connections; 1024. Each may need two open files.
    pub connections: usize,
    /// Request header in bytes; 16 KB.
    pub header: usize,
    /// Least bytes per second, over 30 s, of a body that is being sent; 1000. 0: no least.
    pub body_rate: u64,
    /// Nesting of a JSON body; 64.
    pub json_depth: usize,
    /// One event or line of an engine that a translator must hold; 8 MB.
    pub event: usize,
}

/// `[context]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextPolicy {
    /// What to do when a prompt does not fit.
    pub fit: Fit,
    /// May load a model anew with more context that a person loaded with too little; true.
    pub grow_foreign: bool,
    /// Growth never goes beyond this many tokens.
    pub max: u64,
    /// Whether a file, a variable or a flag sets `tuning.ollama.context_size`, so that it stands
    /// above a Modelfile's `num_ctx`.
    pub ollama_configured: bool,
}

/// `[routing]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// A candidate whose predicted first token is later than this is not chosen by `auto`; 60 s.
    pub first_token: Duration,
}

/// `[scheduler]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerSettings {
    /// May evict models that a person loaded.
    pub evict_foreign: bool,
    /// Requests that may overtake a waiting swap.
    pub overtake_count: u32,
    /// Age of a waiting swap after which nobody overtakes it.
    pub overtake_age: Duration,
    /// How long a model is held after an answer that ended in tool calls; 500 ms.
    pub linger: Duration,
    /// Wait after which `fallback` may take over.
    pub overflow_after: Duration,
    /// Model for titles and summaries.
    pub small_model: Option<String>,
    /// Drop an autocomplete request that a newer one replaces.
    pub supersede: bool,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// For people or for machines.
    pub format: LogFormat,
    /// `tracing` filter, for example `info` or `crucible=debug`.
    pub level: String,
    /// Whether the event log is kept in `state_dir`.
    pub events: bool,
    /// Most bytes of the event log on disk; 10 MB.
    pub events_size: u64,
}

/// Format of log lines on stderr.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// One routing rule; every condition that is present must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The virtual model asked for.
    pub model: Option<String>,
    /// More estimated prompt tokens than this.
    pub tokens_over: Option<u64>,
    /// Fewer estimated prompt tokens than this.
    pub tokens_under: Option<u64>,
    /// Whether tools are offered.
    pub tools: Option<bool>,
    /// Whether images are attached.
    pub images: Option<bool>,
    /// Any of these whole words (or phrases) in the last user message, any case.
    pub words: Vec<String>,
    /// Headers that must have these values.
    pub header: BTreeMap<String, String>,
    /// A virtual model, a model or an engine.
    pub target: String,
}

/// Whether a client's requests are waited for by a person.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A person waits.
    #[default]
    Interactive,
    /// Nobody waits.
    Background,
}

/// One client key.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientKey {
    /// Name for logs and limits.
    pub name: Arc<str>,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// Requests allowed per period.
    pub rate: Option<Rate>,
    /// Scheduling class.
    pub class: Class,
    /// Sampling defaults of this client.
    pub defaults: ModelDefaults,
    /// Context for models that nothing else configures.
    pub context: Option<u64>,
}

// === impl Config ===

impl Config {
    /// The engine of that name.
    pub fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|e| &*e.name == name)
    }
}
