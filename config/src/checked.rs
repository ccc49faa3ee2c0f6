//! The checked configuration: every value is present, typed and consistent with the others.
//!
//! Only this crate builds one, by [`load`](crate::load). The other crates read it and never see a raw
//! setting.

mod defaults;
mod engine;
mod words;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use self::{
    defaults::{DefaultSource, FilledValue, RequestDefaults},
    engine::{
        Device, EngineConfig, EngineKind, Fit, Manage, ModelDefaults, ModelSettings, PoolSettings,
        Sampling,
    },
};
use crate::glob::Globs;
pub use crate::{
    kind::Rate,
    tuning::{EnvironmentTuning, LmstudioTuning, OllamaTuning, ProfileName, Tuning},
};

/// Everything that a person can set, after checking; [`Config::builtin`] is the one without a file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses for clients; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// The profile under all other layers.
    pub profile: ProfileName,
    /// The model that answers to unknown names; without it such a request is refused with 404.
    pub default_model: Option<String>,
    /// Whether the models that Crucible loaded are unloaded at a graceful end.
    pub on_exit: OnExit,
    /// Whether Crucible may listen beyond loopback without any client key.
    pub allow_unauthenticated: bool,
    /// The address of a second listener for `/metrics` and the page, where one is wanted.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the built-in routing rules follow the configured ones.
    pub builtin_rules: bool,
    /// Host names, in lower case, that requests may name beyond the built-in rule.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may send requests, beyond editors' schemes and localhost.
    pub allowed_origins: Vec<String>,
    /// The folder in which Crucible keeps the ownership file, what it measured and the event log.
    pub state_dir: PathBuf,
    /// The configured engines in file order. Where it is empty, the default ports are searched.
    pub engines: Vec<EngineConfig>,
    /// The `[[model]]` blocks in file order.
    pub models: Vec<ModelSettings>,
    /// The pools of memory that have a table, by name.
    pub pools: BTreeMap<String, PoolSettings>,
    /// The time budgets of `[timeouts]`.
    pub timeouts: Timeouts,
    /// The bounds of `[limits]`.
    pub limits: Limits,
    /// The policy of `[context]`, for prompts that do not fit.
    pub context: ContextPolicy,
    /// The settings of `[prefix]`.
    pub prefix: PrefixSettings,
    /// The settings of `[routing]`.
    pub routing: Routing,
    /// The settings of `[scheduler]`.
    pub scheduler: SchedulerSettings,
    /// The models that are loaded at start, besides the pinned ones.
    pub warm: Vec<String>,
    /// The settings of `[log]`.
    pub log: LogSettings,
    /// The address of the collector that gets the spans of requests; `None` where none are made.
    pub otlp_endpoint: Option<url::Url>,
    /// The paths of engines' management that are open to clients.
    pub guard_open: Vec<String>,
    /// The configured routing rules in order; the first whose conditions hold decides.
    pub rules: Vec<RoutingRule>,
    /// The virtual models, each with its ordered patterns: `engine/model-glob`, or other virtual names.
    pub virtual_models: IndexMap<String, Vec<String>>,
    /// The clients' keys, as hashes.
    pub keys: Vec<Arc<ClientKey>>,
    /// The values of the 39 settings.
    pub tuning: Tuning,
    /// The compiled patterns of models and virtual models; one that is missing is compiled at use.
    pub globs: Globs,
}

/// What happens at a graceful end to the models that Crucible loaded.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// They are unloaded.
    #[default]
    Unload,
    /// They stay, and the next start adopts them.
    Leave,
}

/// The time budgets of `[timeouts]`; each has an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest wait for a permit; 300 s by default.
    pub queue: Duration,
    /// The time for which the head of a streamed answer waits for the engine's first event; 20 s by
    /// default.
    pub commit: Duration,
    /// The longest load of one model; 300 s by default.
    pub load: Duration,
    /// The longest time from the request sent to its first token; 300 s by default.
    pub first_token: Duration,
    /// The longest gap between an engine's bytes after the first token; 30 s by default.
    pub idle: Duration,
    /// Stands in place of `idle` for a request with tools, as long as the engine is well and at work;
    /// 600 s by default.
    pub tool_call: Duration,
    /// The longest time of a passed-through answer that is not streamed; 600 s by default.
    pub response: Duration,
    /// The longest time from SIGTERM to the end of the process; 30 s by default.
    pub drain: Duration,
    /// The longest TCP connect to an engine; 2 s by default.
    pub connect: Duration,
    /// The time in which a client has to send the head of a request; 10 s by default.
    pub header: Duration,
    /// The time for which the body of a request may make no progress; 30 s by default.
    pub body: Duration,
    /// The time for which a client may read nothing of its answer; 60 s by default.
    pub client_stall: Duration,
}

/// The bounds of `[limits]`: how large a request, a body and an event may be, and how many connections
/// are open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body in bytes, after decompression; 32 MB by default.
    pub body: u64,
    /// The most open client connections; 1024 by default. Each may need two open files.
    pub connections: usize,
    /// The largest head of a request in bytes; 16 KB by default.
    pub header: usize,
    /// The least bytes per second, over 30 s, of a body that is being sent; 1000 by default. 0 stands
    /// for no bound.
    pub body_rate: u64,
    /// The deepest nesting of a JSON body; 64 by default.
    pub json_depth: usize,
    /// The largest event or line of an engine that a translator must hold, in bytes; 8 MB by default.
    pub event: usize,
}

/// The settings of `[context]`: what happens to a prompt that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextPolicy {
    /// Whether the context is sized up or the prompt is refused.
    pub fit: Fit,
    /// Whether a model that a person loaded with too little context may be loaded anew with more, once
    /// it is idle; true by default.
    pub grow_foreign: bool,
    /// The most tokens to which a context grows.
    pub max: u64,
    /// Whether a file, a variable or a flag sets `tuning.ollama.context_size`, so that it stands
    /// above a Modelfile's `num_ctx`.
    pub ollama_configured: bool,
}

/// The settings of `[prefix]`: which known breakers of an engine's prefix cache are taken out of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixSettings {
    /// Whether Claude Code's block of accounting is left out; true by default.
    pub billing_block: bool,
    /// Whether `cache_control` is left out; true by default.
    pub cache_control: bool,
    /// Whether Ollama gets later system messages as tagged user texts at their place; true by default.
    pub later_system: bool,
}

/// The settings of `[routing]`, which bound what `auto` may choose by prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// `auto` chooses no candidate whose first token is predicted later than this; 60 s by default.
    pub first_token: Duration,
}

/// The settings of `[scheduler]`: loads, evictions and who may overtake whom.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerSettings {
    /// Whether models that a person loaded may be evicted.
    pub evict_foreign: bool,
    /// The number of requests that may overtake a waiting swap between two loads.
    pub overtake_count: u32,
    /// The age of a waiting swap after which no request overtakes it.
    pub overtake_age: Duration,
    /// The time for which a model is kept after an answer that ended in tool calls; 500 ms by
    /// default.
    pub linger: Duration,
    /// The wait for a permit after which a model's `fallback` takes over.
    pub overflow_after: Duration,
    /// The model that answers short requests for virtual models, such as titles and summaries.
    pub small_model: Option<String>,
    /// Whether an autocomplete request is dropped when a newer one replaces it.
    pub supersede: bool,
}

/// The settings of `[log]`: log lines and the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Whether lines are written for people or for machines.
    pub format: LogFormat,
    /// The filter of log lines, for example `info` or `crucible=debug`.
    pub level: String,
    /// Whether the event log is kept in `state_dir`.
    pub events: bool,
    /// The most bytes of the event log on disk; 10 MB by default.
    pub events_size: u64,
}

/// The format of log lines on stderr.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line that a person reads.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// One routing rule; every condition that is present must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutingRule {
    /// The virtual model that the request asks for.
    pub model: Option<String>,
    /// The prompt is estimated at more tokens than this.
    pub tokens_over: Option<u64>,
    /// The prompt is estimated at fewer tokens than this.
    pub tokens_under: Option<u64>,
    /// Whether the request offers tools.
    pub tools: Option<bool>,
    /// Whether the request holds images.
    pub images: Option<bool>,
    /// Whole words or phrases, one of which stands in the last user message, in any case.
    pub words: Vec<String>,
    /// Headers of the request that have these values, by name in lower case.
    pub header: BTreeMap<String, String>,
    /// The virtual model, model or engine that answers.
    pub target: String,
}

/// Whether a person waits for a client's answers; the scheduler serves those first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A person waits for the answer.
    #[default]
    Interactive,
    /// Nobody waits, such as in a batch.
    Background,
}

/// One client: the hash of its key and what it may do.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientKey {
    /// The client's name in logs, metrics and limits.
    pub name: Arc<str>,
    /// The SHA-256 of the key; the key itself is known to the client alone.
    pub sha256: [u8; 32],
    /// The number of requests that the client may send in a period; `None` sets no bound.
    pub rate: Option<Rate>,
    /// The tokens of prompts and answers that the client may use in a day; `None` sets no bound.
    pub tokens_per_day: Option<u64>,
    /// Whether a person waits for its answers.
    pub class: Class,
    /// The sampling defaults of this client.
    pub defaults: ModelDefaults,
    /// The context per request, in tokens, of models that nothing else configures.
    pub context: Option<u64>,
}

// === impl Config ===

impl Config {
    /// The configured engine of that name.
    pub fn engine(&self, name: &str) -> Option<&EngineConfig> {
        self.engines.iter().find(|e| &*e.name == name)
    }

    /// The URL that spans go to: the path of traces (OTLP 1.0, "OTLP/HTTP Request") below the endpoint's own, or the
    /// endpoint where it names that path itself.
    pub fn traces_url(&self) -> Option<url::Url> {
        let mut url = self.otlp_endpoint.clone()?;
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with("/v1/traces") {
            url.set_path(&format!("{path}/v1/traces"));
        }
        Some(url)
    }
}
