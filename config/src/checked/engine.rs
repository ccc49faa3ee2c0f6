//! Engines, their models, and the memory that they share, as they are configured.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::ca_file::CaFile;

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
    /// Ollama, over its native API.
    Ollama,
    /// llama.cpp's server, attached or run as a child.
    Llamacpp,
    /// Any other server that speaks OpenAI's API; its models are listed and never loaded.
    Openai,
}

/// The device on which an engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The engine computes on a GPU.
    Gpu,
    /// The engine computes on the CPU.
    Cpu,
    /// A GPU where no other engine owns it, else the CPU (Ollama's default).
    Auto,
}

/// The degree to which Crucible manages an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Manage {
    /// Crucible only reads the engine's state; it never loads or unloads a model.
    Observe,
    /// Crucible loads and unloads models through the engine's API.
    Models,
    /// Crucible starts the engine as a child process, and manages its models.
    Spawn,
}

/// One engine as it is configured, or as it was found on a default port.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// The name in `engine/model`, headers and labels.
    pub name: Arc<str>,
    /// The product, which decides the API that is spoken.
    pub kind: EngineKind,
    /// The address; `None` only for `manage = "spawn"`, where the child's is used.
    pub url: Option<Url>,
    /// The configured device; the router resolves `Auto`.
    pub device: Device,
    /// The pool of memory that is configured; `None` stands for its device on its host.
    pub pool: Option<Arc<str>>,
    /// The authorities that its certificate may be signed by, beside the system's; only for `https`.
    pub ca_file: Option<CaFile>,
    /// The name of the environment variable with the engine's own token, where one is configured.
    pub api_key_env: Option<String>,
    /// The degree to which Crucible manages the engine.
    pub manage: Manage,
    /// The number of requests that one resident model answers at once.
    pub permits: u32,
    /// The number of requests that may wait; one more is refused with 429.
    pub queue: u32,
    /// Whether sampling defaults are injected here.
    pub defaults: bool,
    /// Whether Ollama's `:cloud` models may be used.
    pub allow_cloud: bool,
    /// The client formats that are passed through untranslated: `responses`, `messages`.
    pub passthrough: Vec<String>,
    /// Whether LM Studio's models are loaded over its WebSocket API.
    pub websocket: bool,
    /// The command of a spawned engine, without the flags that Crucible adds.
    pub command: Vec<String>,
    /// The model file of a spawned llama.cpp engine.
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

/// What happens to a prompt that does not fit the context of its model.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The context is sized up in steps.
    #[default]
    Grow,
    /// The prompt is refused with 400 `context_length_exceeded`.
    Reject,
}

/// One `[[model]]` block: settings of the models whose name matches.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// The exact name of a model, or a glob, in any case.
    pub name: String,
    /// The one engine for which the block counts, where one is named.
    pub engine: Option<Arc<str>>,
    /// Other names by which requests may ask for the model; each may be a glob.
    pub aliases: Vec<String>,
    /// The context per request in tokens.
    pub context: Option<u64>,
    /// Stands in place of `[context] fit` for this model.
    pub fit: Option<Fit>,
    /// Whether the model is loaded at start and never unloaded.
    pub pin: bool,
    /// Whether the model may be offloaded to the GPU in part.
    pub spill: bool,
    /// The names that may answer instead, in order.
    pub fallback: Vec<String>,
    /// The sampling defaults of this model.
    pub defaults: ModelDefaults,
    /// Whether `PARAMETER num_ctx` of an Ollama Modelfile counts as this model's context; true by
    /// default.
    pub modelfile_context: bool,
}

/// The key `defaults` of a `[[model]]` or `[[key]]` block.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ModelDefaults {
    /// The key is absent, so that the defaults of the layer below apply.
    #[default]
    Inherit,
    /// The key is `false`: no default is filled in.
    Off,
    /// The values that the table sets; the layer below gives the rest.
    Set(Sampling),
}

/// The four sampling defaults of one layer; `None` where the layer does not set one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// The temperature, from 0 to 2.
    pub temperature: Option<f64>,
    /// The share of nucleus sampling, from 0 to 1.
    pub top_p: Option<f64>,
    /// -2..=2.
    pub frequency_penalty: Option<f64>,
    /// -2..=2.
    pub presence_penalty: Option<f64>,
}

/// One `[pool.NAME]` table: memory that the models of its engines compete for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSettings {
    /// The total in bytes, for a machine on which it cannot be read.
    pub memory: Option<u64>,
    /// The most bytes that models may use together.
    pub budget: Option<u64>,
    /// Whether no load runs here while another pool loads.
    pub exclusive: bool,
}
