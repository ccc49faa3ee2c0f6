//! The checked configuration: every value present, typed and consistent.
//!
//! Built only by this crate. `router` and `proxy` read it and never see a raw setting.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::glob::Globs;

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
    pub scheduler: Scheduler,
    /// Models to load at start (besides the pinned ones).
    pub warm: Vec<String>,
    /// Log format and level.
    pub log: Log,
    /// Management paths opened on purpose.
    pub guard_open: Vec<String>,
    /// Own rules in order.
    pub rules: Vec<Rule>,
    /// Virtual models: name to ordered patterns `engine/model-glob`, or other virtual names.
    pub virtual_models: IndexMap<String, Vec<String>>,
    /// Client keys.
    pub keys: Vec<Arc<Key>>,
    /// The typed values of the 39 rows.
    pub tuning: Tuning,
    /// Compiled patterns of the above; one that is missing here is compiled at use.
    pub globs: Globs,
}

/// The built-in profile that lies under the other layers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ProfileName {
    /// The literal 39 values.
    #[default]
    Hybrid,
    /// `hybrid` with context 32768 and no sampling defaults.
    Agent,
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

/// The kinds of engine.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// LM Studio 0.3 and newer.
    Lmstudio,
    /// Ollama.
    Ollama,
    /// llama.cpp's server, attached or run as a child.
    Llamacpp,
    /// Any other OpenAI-compatible server.
    Openai,
}

/// Where an engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// On a GPU.
    Gpu,
    /// On the CPU.
    Cpu,
    /// GPU where no other engine owns it (Ollama's default).
    Auto,
}

/// How much of an engine Crucible manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Manage {
    /// Only reads; never loads or unloads.
    Observe,
    /// Loads and unloads models through the engine's API.
    Models,
    /// Starts the engine itself as a child process.
    Spawn,
}

/// One engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Its name in `engine/model`, headers and labels.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: EngineKind,
    /// Its address; `None` only for `manage = "spawn"`, where the child's is used.
    pub url: Option<Url>,
    /// Configured device; `Auto` is resolved by the router.
    pub device: Device,
    /// Explicit pool, else its device on its host.
    pub pool: Option<Arc<str>>,
    /// Name of the environment variable with the engine's own token.
    pub api_key_env: Option<String>,
    /// How much is managed.
    pub manage: Manage,
    /// Permits per resident.
    pub permits: u32,
    /// Waiters before 429.
    pub queue: u32,
    /// Whether sampling defaults are injected here.
    pub defaults: bool,
    /// Whether Ollama's `:cloud` models may be used.
    pub allow_cloud: bool,
    /// Dialects to pass through: `responses`, `messages`.
    pub passthrough: Vec<String>,
    /// LM Studio's second driver.
    pub websocket: bool,
    /// Command of a spawned engine, without the flags that Crucible adds.
    pub command: Vec<String>,
    /// Model file of a spawned llama.cpp engine.
    pub model_path: Option<PathBuf>,
}

/// What to do when a prompt does not fit its context.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Size the context up in steps.
    #[default]
    Grow,
    /// 400 `context_length_exceeded`.
    Reject,
}

/// Settings of the models whose name matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Exact name or glob.
    pub name: String,
    /// Pins the model to one engine.
    pub engine: Option<Arc<str>>,
    /// Other names; may be globs.
    pub aliases: Vec<String>,
    /// Context per request in tokens.
    pub context: Option<u64>,
    /// Overrides `[context] fit`.
    pub fit: Option<Fit>,
    /// Never unloaded, renewed, loaded at start.
    pub pin: bool,
    /// May be offloaded partially.
    pub spill: bool,
    /// Names that may answer instead, in order.
    pub fallback: Vec<String>,
    /// Sampling defaults of this model.
    pub defaults: ModelDefaults,
}

/// `defaults` of a model or key.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ModelDefaults {
    /// Nothing said: the profile's apply.
    #[default]
    Inherit,
    /// `false`: nothing is injected.
    Off,
    /// These values, the profile's for the rest.
    Set(Sampling),
}

/// The four sampling defaults; `None` is: not set at this layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0..=2.
    pub temperature: Option<f64>,
    /// 0..=1.
    pub top_p: Option<f64>,
    /// -2..=2.
    pub frequency_penalty: Option<f64>,
    /// -2..=2.
    pub presence_penalty: Option<f64>,
}

/// Memory that models compete for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Total bytes, where it cannot be read.
    pub memory: Option<u64>,
    /// Budget in bytes.
    pub budget: Option<u64>,
    /// Never load here while another pool loads.
    pub exclusive: bool,
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
    /// Replaces `idle` where the engine delivers a tool call whole; 600 s.
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
    /// Growth never goes beyond this many tokens.
    pub max: u64,
}

/// `[routing]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// A candidate whose predicted first token is later than this is not chosen by `auto`; 60 s.
    pub first_token: Duration,
}

/// `[scheduler]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    /// May evict models that a person loaded.
    pub evict_foreign: bool,
    /// Requests that may overtake a waiting swap.
    pub overtake_count: u32,
    /// Age of a waiting swap after which nobody overtakes it.
    pub overtake_age: Duration,
    /// Wait after which `fallback` may take over.
    pub overflow_after: Duration,
    /// Model for titles and summaries.
    pub small_model: Option<String>,
    /// Drop an autocomplete request that a newer one replaces.
    pub supersede: bool,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
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
pub struct Key {
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

/// `60/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests.
    pub count: u32,
    /// Per this long.
    pub per: Duration,
}

/// Typed values of the 39 rows after all layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// The 20.
    pub lmstudio: LmstudioTuning,
    /// The 11.
    pub ollama: OllamaTuning,
    /// The 8, in table order: variable name to value.
    pub environment: IndexMap<String, String>,
}

/// Rows 1-20.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four of the 20 rows are switches"
)]
pub struct LmstudioTuning {
    /// Row 1; 0..=1.
    pub gpu_memory_fraction: f64,
    /// Row 2; -1 is all.
    pub gpu_layers: i64,
    /// Row 3.
    pub max_loaded_models: u32,
    /// Row 4.
    pub jit_loading: bool,
    /// Row 5.
    pub model_ttl: Duration,
    /// Row 6.
    pub auto_evict: bool,
    /// Row 7.
    pub batch_size: u32,
    /// Row 8.
    pub flash_attention: bool,
    /// Row 9; `f16` and so on.
    pub key_cache_quantization: String,
    /// Row 10.
    pub value_cache_quantization: String,
    /// Row 11; bytes.
    pub stream_buffer_size: usize,
    /// Row 12.
    pub stream_timeout: Duration,
    /// Row 13; tokens per request.
    pub context_length: u64,
    /// Row 14; `None` where the profile sets no sampling defaults.
    pub temperature: Option<f64>,
    /// Row 15.
    pub top_p: Option<f64>,
    /// Row 16.
    pub frequency_penalty: Option<f64>,
    /// Row 17.
    pub presence_penalty: Option<f64>,
    /// Row 18.
    pub keep_alive_interval: Duration,
    /// Row 19.
    pub keep_alive_enabled: bool,
    /// Row 20.
    pub model_warmup: bool,
}

/// Rows 21-31.
#[derive(Clone, Debug, PartialEq)]
pub struct OllamaTuning {
    /// Row 21.
    pub max_loaded_models: u32,
    /// Row 22.
    pub max_queue: u32,
    /// Row 23.
    pub num_parallel: u32,
    /// Row 24; bytes.
    pub memory_limit: u64,
    /// Row 25; as configured, clamped to physical cores where it is applied.
    pub num_threads: u32,
    /// Row 26.
    pub numa_policy: String,
    /// Row 27; tokens per request.
    pub context_size: u64,
    /// Row 28.
    pub quantization: String,
    /// Row 29.
    pub batch_size: u32,
    /// Row 30.
    pub use_mmap: bool,
    /// Row 31.
    pub use_mlock: bool,
}

/// Who set a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The client's key.
    Key,
    /// A `[[model]]` block.
    Model,
    /// The profile or `[tuning.*]`.
    Profile,
}

/// One value that is filled in where the request is silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Filled<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub from: From,
}

/// What is filled in for one request on one engine and model. `None`: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestDefaults {
    /// Row 14.
    pub temperature: Option<Filled<f64>>,
    /// Row 15.
    pub top_p: Option<Filled<f64>>,
    /// Row 16.
    pub frequency_penalty: Option<Filled<f64>>,
    /// Row 17.
    pub presence_penalty: Option<Filled<f64>>,
}

// === impl Config ===

impl Config {
    /// The engine of that name.
    pub fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|e| &*e.name == name)
    }
}

// === impl RequestDefaults ===

impl RequestDefaults {
    /// Those that are set, by wire name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, Filled<f64>)> {
        [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ]
        .into_iter()
        .filter_map(|(name, filled)| Some((name, filled?)))
    }
}
