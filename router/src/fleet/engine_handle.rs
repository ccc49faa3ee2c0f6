//! One engine with its control side and the signals of its poll loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use crucible_config::checked;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, LoadConfig, ollama_recipe::OllamaRecipe};

/// One engine with its driver and the signals to its poll loop.
pub struct EngineHandle {
    /// The configuration of the engine, or the one that was made for a found one.
    pub config: checked::EngineConfig,
    /// The driver of the engine.
    pub control: Arc<dyn Engine>,
    /// Whether the engine was found by a search and not configured.
    pub discovered: bool,
    /// The idle time after which LM Studio unloads a model, as of the engine's addition.
    pub(super) keep_alive: Duration,
    /// The environment of an Ollama that is a child of Crucible.
    pub(super) recipe: Option<OllamaRecipe>,
    /// The settings that LM Studio's WebSocket driver loads with.
    pub(super) load_config: Option<LoadConfig>,
    /// Wakes the poll loop because an engine may have changed, such as by a load; it polls after a
    /// short gap.
    pub(super) poke: Notify,
    /// Wakes the poll loop because a request found the engine in another state than its last poll.
    pub(super) doubted: Notify,
    /// Whether the next poll is to look for new models, because a request asked for one that is not
    /// listed.
    pub(super) anew: AtomicBool,
    /// The number of polls that have begun.
    pub(super) begun: AtomicU64,
    /// The token that ends the poll loop, when the engine leaves the configuration or Crucible
    /// ends.
    pub(super) stop: CancellationToken,
}
