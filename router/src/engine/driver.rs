//! The trait that every engine's driver implements, and what its calls take and return.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    error::EngineError,
    slots::{SlotPrompt, SlotReading},
};
use crate::{
    catalog::{ModelInfo, ModelKind, ResidentInfo},
    machine::MemoryLimit,
    options::LoadTuple,
    transport::EngineAddress,
};

/// The answer of an engine to one poll.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The version of the engine, where it reports one.
    pub version: Option<String>,
    /// All models that it can run.
    pub models: Vec<ModelInfo>,
    /// All models that it holds loaded.
    pub residents: Vec<ResidentInfo>,
    /// Whether models can be loaded and unloaded through its API; else it loads by itself.
    pub load_control: bool,
    /// The number of models above which it unloads one by itself, where it reports one.
    pub max_loaded: Option<u32>,
}

/// An order to load a model.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOrder {
    /// The name of the model on that engine.
    pub model: Arc<str>,
    /// The purpose of the model: generation or embedding.
    pub kind: ModelKind,
    /// The options to load it with.
    pub tuple: LoadTuple,
    /// The number of requests that will share the instance.
    pub permits: u32,
    /// Whether it is to stay, so that the engine gets no idle clock of its own for it.
    pub pinned: bool,
}

/// The control side of one engine: list, load, unload.
///
/// Every kind of engine has one driver that implements this trait; [`build`](super::build) makes the
/// driver of a configured engine. All calls are idempotent except [`load`](Self::load): LM Studio loads
/// a second instance, so a driver looks first. Prompts and answers never pass through a driver.
///
/// ```
/// use std::sync::Arc;
///
/// use crucible_router::{
///     catalog::{ModelKind, ResidentInfo},
///     engine::{Engine, EngineError, Listing, LoadOrder},
///     transport::EngineAddress,
/// };
/// use futures_util::future::{BoxFuture, FutureExt as _, ready};
///
/// /// An engine with one model, which is always loaded.
/// struct Fixed(EngineAddress);
///
/// impl Engine for Fixed {
///     fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
///         let resident = ResidentInfo::named(Arc::from("tiny"), ModelKind::Generation);
///         Box::pin(ready(Ok(Listing { residents: vec![resident], ..Listing::default() })))
///     }
///
///     fn load(&self, _: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
///         Box::pin(ready(Err(EngineError::Unsupported("load"))))
///     }
///
///     fn unload<'a>(&'a self, _: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
///         Box::pin(ready(Err(EngineError::Unsupported("unload"))))
///     }
///
///     fn address(&self) -> Option<EngineAddress> {
///         Some(self.0.clone())
///     }
/// }
///
/// let url = "http://127.0.0.1:8000".parse().unwrap();
/// let engine = Fixed(EngineAddress::new(url, None).unwrap());
/// let listing = engine.list().now_or_never().unwrap().unwrap();
/// assert_eq!(&*listing.residents[0].model, "tiny");
/// ```
pub trait Engine: Send + Sync + 'static {
    /// Asks for its models, its residents and its version: one poll.
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>>;

    /// Polls for somebody who misses a model: an engine that reads its folder at its start only is made
    /// to read it again.
    fn list_anew(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        self.list()
    }

    /// Loads a model and returns once it is resident. The caller bounds the time.
    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>>;

    /// Unloads an instance and returns once the engine confirms that it is gone.
    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Returns the address that requests go to; `None` while a spawned engine is down.
    fn address(&self) -> Option<EngineAddress>;

    /// The URL of [`Self::address`], for people.
    fn base_url(&self) -> Option<url::Url> {
        self.address().map(|address| address.url().clone())
    }

    /// Counts the requests that it processes at this moment; `None` where it does not report them. For an
    /// engine that serves several models, those of `model` count where they can be told apart. The caller
    /// bounds the time.
    fn processing<'a>(&'a self, _model: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(std::future::ready(None))
    }

    /// Reads how much of the prompts that it answers at this moment it had in its cache; `None` where it
    /// does not report it, or reports it in its answers. The caller bounds the time.
    fn slot_readings(&self) -> BoxFuture<'_, Option<Vec<SlotReading>>> {
        Box::pin(std::future::ready(None))
    }

    /// Reads the prompts that it reads at this moment, of `model` where they can be told apart; `None` where
    /// it does not report them. One that is busy with a long prompt answers after the batch that it is at,
    /// which may take many seconds. The caller bounds the time.
    fn prompts<'a>(&'a self, _model: &'a str) -> BoxFuture<'a, Option<Vec<SlotPrompt>>> {
        Box::pin(std::future::ready(None))
    }

    /// The memory limit that the system enforces on the engine (`tuning.ollama.memory_limit`);
    /// `None` for an engine that Crucible did not start.
    fn limit(&self) -> Option<MemoryLimit> {
        None
    }

    /// The process id of the child of Crucible that holds the loaded model while it lives; `None` for
    /// engines that Crucible did not start.
    fn process(&self) -> Option<u32> {
        None
    }
}

/// The pause before the next look at an engine that works on a load or an unload: 50 ms, doubling with
/// each attempt up to 500 ms.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(50 << attempt.min(4)).min(Duration::from_millis(500))
}
