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

/// One engine with its control side.
pub struct EngineHandle {
    /// As configured, or made from a find.
    pub config: checked::Engine,
    /// Its control side.
    pub control: Arc<dyn Engine>,
    /// Found on a default port.
    pub discovered: bool,
    pub(super) keep_alive: Duration,
    /// The environment of an Ollama that is a child.
    pub(super) recipe: Option<OllamaRecipe>,
    /// What LM Studio's WebSocket driver loads with.
    pub(super) load_config: Option<LoadConfig>,
    pub(super) poke: Notify,
    /// A request found it other than it was known to be.
    pub(super) doubted: Notify,
    /// Somebody misses a model: the next poll is to look for new ones.
    pub(super) anew: AtomicBool,
    /// Polls that have begun so far.
    pub(super) begun: AtomicU64,
    pub(super) stop: CancellationToken,
}
