//! The control side of engines: list, resident, load, unload. Answers go another way.

mod http;
mod llamacpp;
mod lmstudio;
mod ollama;
pub mod ollama_recipe;
mod openai;
pub(crate) mod setting;
mod slots;
mod spawn;
#[cfg(test)]
pub(crate) mod testing;
mod time;
mod token;
pub mod tuple;

use std::{sync::Arc, time::Duration};

use crucible_config::checked::{self, EngineKind, Manage};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub(crate) use self::http::{Endpoint, hidden_error};
pub(crate) use self::lmstudio::{own_clock, told};
use self::ollama_recipe::OllamaRecipe;
pub(crate) use self::token::{refused_access, token_in};
pub use self::{
    http::client,
    lmstudio::{LoadConfig, Told, Ttl},
    ollama::ollama_options,
    spawn::children::Children,
    token::token_of,
    tuple::tuple_for,
};
use crate::{
    catalog::{ModelInfo, ModelKind, ResidentInfo},
    machine::MemoryLimit,
};

/// The control side of a configured engine.
///
/// `client` comes from [`client`]; `keep_alive` is what Ollama is told to keep an idle model for
/// (row 5); `token` is the engine's own; `recipe` is there for an Ollama that is to be started as
/// a child, of which `children` keeps account; `load_config` turns LM Studio's WebSocket driver
/// on. `None`
/// where the engine has neither an address nor a model file to spawn (the configuration's check does
/// not let that through).
pub fn build(
    client: &reqwest::Client,
    engine: &checked::Engine,
    token: Option<&str>,
    keep_alive: Duration,
    recipe: Option<OllamaRecipe>,
    load_config: Option<LoadConfig>,
    children: &Arc<Children>,
) -> Option<Arc<dyn Engine>> {
    if let Some(recipe) = recipe {
        let setup = spawn::ollama::Setup {
            name: Arc::clone(&engine.name),
            command: engine.command.clone(),
            url: engine.url.clone(),
            memory_max: cfg!(target_os = "linux").then_some(recipe.memory_max),
            recipe,
            keep_alive,
            children: Arc::clone(children),
        };
        let spawned = spawn::ollama::SpawnedOllama::new(client.clone(), setup);
        return Some(Arc::new(spawned));
    }
    if engine.manage == Manage::Spawn
        && let (EngineKind::Llamacpp, Some(model)) = (engine.kind, &engine.model_path)
    {
        return Some(Arc::new(spawn::Spawned::new(
            client.clone(),
            engine.command.clone(),
            model.clone(),
            token.map(str::to_owned),
            Arc::clone(children),
        )));
    }
    let base = openai::root(engine.url.as_ref()?);
    let driver = load_config.map(|load| lmstudio::Driver::new(&base, token, load, keep_alive));
    let endpoint = Endpoint::new(client.clone(), base, token);
    Some(match engine.kind {
        EngineKind::Ollama => Arc::new(ollama::Ollama::new(endpoint, keep_alive)),
        EngineKind::Lmstudio => Arc::new(lmstudio::Lmstudio::new(endpoint, driver)),
        EngineKind::Llamacpp => Arc::new(llamacpp::Llamacpp::new(endpoint)),
        EngineKind::Openai => Arc::new(openai::Openai::new(endpoint)),
    })
}

/// 50 ms doubling to 500 ms: how long to wait before looking again.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(50 << attempt.min(4)).min(Duration::from_millis(500))
}

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
    /// Most models that it holds at a time before it unloads one by itself, where it tells.
    pub max_loaded: Option<u32>,
}

/// The runner options of a model: identical on every path that may load or use it, or Ollama
/// loads it again (engines: Ollama 0.33, `server/sched.go` needsReload).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
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
    /// A person loaded it: nothing is sent that would load it anew (Ollama: `shift`).
    pub as_loaded: bool,
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
    /// It is to stay: the engine gets no idle clock of its own for it.
    pub pinned: bool,
}

/// What a control call came back with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens at its address: the system refused the connection.
    #[error("unreachable: {0}")]
    NobodyListens(String),
    /// No connection within its time, or it broke: whoever listens there may still live.
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
    /// The model came there meanwhile, with less context than was ordered.
    #[error("'{}' is already loaded with less context", .0.model)]
    HeldSmaller(Box<ResidentInfo>),
    /// It cannot be started: what it needs is not on this machine.
    #[error("{0}")]
    Absent(String),
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

    /// The same for somebody who misses a model: an engine that does not look at its folder by itself
    /// is made to.
    fn list_anew(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        self.list()
    }

    /// Loads a model and returns once it is resident. The caller bounds the time.
    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>>;

    /// Unloads an instance and returns once the engine confirms that it is gone.
    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Where requests go, `http://host:port` without a path; `None` while a spawned one is down.
    fn base_url(&self) -> Option<url::Url>;

    /// How many requests it processes at this moment, where it tells; for an engine that serves
    /// several models, those of `model` where they can be told apart. The caller bounds the time.
    fn processing<'a>(&'a self, _model: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(std::future::ready(None))
    }

    /// What the system was told to hold its memory to (row 24), where Crucible started it.
    fn limit(&self) -> Option<MemoryLimit> {
        None
    }

    /// The child of Crucible that holds what is loaded, while it lives; `None` for engines that run
    /// by themselves.
    fn process(&self) -> Option<u32> {
        None
    }
}
