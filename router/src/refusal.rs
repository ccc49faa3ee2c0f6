//! The reasons why the router refuses a request.

mod bound;

use std::{sync::Arc, time::Duration};

pub use bound::{ContextBound, how_to_eject};

use crucible_config::checked::EngineKind;

/// The reason why a request gets no permit. `retry_after` is in whole seconds, from 1 to 60.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No engine has a model of that name; `hint` is the configuration line that would map it.
    #[error("unknown model '{name}'")]
    UnknownModel {
        /// The name that the client sent.
        name: String,
        /// The nearest known names, the best first.
        nearest: Vec<String>,
        /// A line for the configuration that would map the name; empty for an alias.
        hint: String,
        /// The model that an alias of this name stands for and that no engine has; `None` where the
        /// name is no alias.
        alias_of: Option<String>,
        /// The engines that refuse Crucible's access, in words: the model may be one of theirs.
        closed: String,
    },
    /// No engine that could answer is up.
    #[error("no engine that has '{model}' is up")]
    NoEngine {
        /// The name that the client sent.
        model: String,
        /// The engines that were considered and the state of each, without addresses.
        detail: String,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// Engines are up, but none can do what the request needs.
    #[error("'{model}' cannot do this: {needs}")]
    Incapable {
        /// The name of the model.
        model: String,
        /// The missing capability: `tools`, `images` or `embeddings`.
        needs: &'static str,
    },
    /// The engine's queue is full, and this client already has its share of it.
    #[error("queue of '{engine}' is full ({limit} waiting, {own} of this client)")]
    QueueFull {
        /// The name of the engine.
        engine: Arc<str>,
        /// The most requests that may wait for the engine.
        limit: u32,
        /// The number of waiting requests of the client that is refused.
        own: u32,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// The time to wait for a permit expired, or is predicted to.
    #[error("no slot of '{engine}' came free in time")]
    QueueTimeout {
        /// The name of the engine.
        engine: Arc<str>,
        /// The time that the request waited, or was predicted to wait.
        waited: Duration,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// The engine refused to load the model, or did so a moment ago and is not asked again yet.
    #[error("'{engine}' could not load '{model}': {message}")]
    LoadFailed {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The message of the engine, in its own words.
        message: String,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// The engine listed the model a moment ago and does not have it any more.
    #[error("the engine '{engine}' does not have '{model}' any more; it answered: {message}")]
    ModelMissing {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The message of the engine, in its own words.
        message: String,
    },
    /// The load did not end within its time budget.
    #[error("'{engine}' did not load '{model}' in {after:?}")]
    LoadTimeout {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The time budget of the load.
        after: Duration,
    },
    /// A model loaded by hand is in the way and may not be evicted.
    #[error("'{blocker}' on '{blocker_engine}' was loaded by hand and blocks '{model}'")]
    Blocked {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The model that is in the way.
        blocker: Arc<str>,
        /// The name of the engine that has it, which is another one where both share a pool.
        blocker_engine: Arc<str>,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// An embedding model does not fit beside a model that generates, which stays.
    #[error(
        "'{model}' does not fit beside '{blocker}' in the pool '{pool}', and no embedding model takes \
         the place of one that generates"
    )]
    NoRoomForEmbedding {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the embedding model.
        model: Arc<str>,
        /// The pool in which there is no room.
        pool: Arc<str>,
        /// The model that stays.
        blocker: Arc<str>,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// The wait for a model that a person loaded with too little context expired while it was in use.
    #[error("'{instance}' on '{engine}' has {has} tokens of context and was in use the whole time")]
    ForeignBusy {
        /// The name of the engine.
        engine: Arc<str>,
        /// The kind of the engine.
        kind: EngineKind,
        /// The instance that the person loaded.
        instance: Arc<str>,
        /// The context of that instance, in tokens.
        has: u64,
        /// The time that the request waited.
        waited: Duration,
        /// The seconds after which the client may try again.
        retry_after: u64,
    },
    /// The prompt does not fit the largest context that the model can have.
    #[error("the prompt has about {prompt} tokens, '{model}' can have {limit} of context")]
    ContextExceeded {
        /// The engine's name of the model.
        model: Arc<str>,
        /// The estimated length of the prompt, in tokens.
        prompt: u64,
        /// The tokens that are kept for the answer.
        reserve: u64,
        /// The largest context that the model can have, in tokens.
        limit: u64,
        /// The cause of that limit.
        bound: ContextBound,
    },
    /// A newer request of the same client replaced this one.
    #[error("a newer request took its place")]
    Superseded,
    /// Crucible is going down and takes no further requests.
    #[error("draining")]
    Draining,
}
