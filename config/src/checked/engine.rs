//! Engines, their models, and the memory they share.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use url::Url;

/// The kinds of engine; [`profile`](EngineKind::profile) tells how they differ.
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
    /// Name of the environment variable with the engine's own token, where one is configured.
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

// === impl Device ===

impl Device {
    /// The word for it in the configuration and in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Auto => "auto",
        }
    }
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
    /// Ollama: the Modelfile's `num_ctx` counts as this model's context; true.
    pub modelfile_context: bool,
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
