//! The control side of engines: list, resident, load, unload. Answers go another way.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::catalog::{ModelInfo, ModelKind, ResidentInfo};

/// What an engine said when it was asked what it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Its version, where it tells one.
    pub version: Option<String>,
    /// Everything it can run.
    pub models: Vec<ModelInfo>,
    /// Everything it holds loaded.
    pub residents: Vec<ResidentInfo>,
    /// Whether loads can be controlled through its API (false: it loads by itself).
    pub load_control: bool,
}

/// The runner options of a model: identical on every path that may load or use it, or Ollama
/// loads it again (engines: Ollama 0.33, `server/sched.go` needsReload).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Context per request in tokens (Ollama `num_ctx`; multiplied by the slots where an engine
    /// divides it). `None`: the engine's own (embedding models).
    pub context: Option<u64>,
    /// `num_batch`, `eval_batch_size`.
    pub batch: Option<u32>,
    /// `num_thread`.
    pub threads: Option<u32>,
    /// `num_gpu`; `Some(0)` keeps Ollama off the GPU.
    pub gpu_layers: Option<i64>,
    /// `use_mmap`.
    pub mmap: Option<bool>,
    /// `flash_attention` (LM Studio).
    pub flash_attention: Option<bool>,
}

/// An order to load a model.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOrder {
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// With these options.
    pub tuple: Tuple,
    /// Requests that will share the instance.
    pub permits: u32,
}

/// What a control call came back with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// No connection, or it broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It did not answer in its budget.
    #[error("no answer in time")]
    Timeout,
    /// It answered with an error (its own words).
    #[error("{message}")]
    Refused {
        /// HTTP status; 200 where the error hid inside a success.
        status: u16,
        /// The engine's text.
        message: String,
    },
    /// It answered with something that is not its API.
    #[error("not understood: {0}")]
    Unexpected(String),
    /// This engine cannot do that.
    #[error("not supported by this engine: {0}")]
    Unsupported(&'static str),
}

/// An engine's control side. All calls are idempotent except `load` (look first).
pub trait Engine: Send + Sync + 'static {
    /// Models, residents, version: one poll.
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>>;

    /// Loads a model and returns once it is resident. The caller bounds the time.
    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>>;

    /// Unloads an instance and returns once the engine confirms that it is gone.
    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Where requests go, `http://host:port` without a path; `None` while a spawned one is down.
    fn base_url(&self) -> Option<url::Url>;
}
