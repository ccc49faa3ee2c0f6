//! Why the router does not let a request through.

mod bound;

use std::{sync::Arc, time::Duration};

pub use bound::{ContextBound, how_to_eject};

use crucible_config::checked::EngineKind;

/// A request that gets no permit. `retry_after` is whole seconds, 1..=60.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No engine has a model of that name; `hint` is the configuration line that would map it.
    #[error("unknown model '{name}'")]
    UnknownModel {
        /// What the client sent.
        name: String,
        /// The nearest known names, best first.
        nearest: Vec<String>,
        /// A line for the configuration; empty for an alias.
        hint: String,
        /// The model that an alias of this name stands for, which no engine has.
        alias_of: Option<String>,
        /// Engines that do not let Crucible in, in words; it may be theirs.
        closed: String,
    },
    /// Nothing that could answer is up.
    #[error("no engine that has '{model}' is up")]
    NoEngine {
        /// What the client sent.
        model: String,
        /// Where was looked and what was found, without addresses.
        detail: String,
        /// Seconds.
        retry_after: u64,
    },
    /// Engines are up, but none can do what the request needs.
    #[error("'{model}' cannot do this: {needs}")]
    Incapable {
        /// The model.
        model: String,
        /// `tools`, `images` or `embeddings`.
        needs: &'static str,
    },
    /// The engine's queue is at its bound, and this client has its part of it.
    #[error("queue of '{engine}' is full ({limit} waiting, {own} of this client)")]
    QueueFull {
        /// Engine.
        engine: Arc<str>,
        /// The bound.
        limit: u32,
        /// How many wait for the client that is refused.
        own: u32,
        /// Seconds.
        retry_after: u64,
    },
    /// The wait expired, or is predicted to.
    #[error("no slot of '{engine}' came free in time")]
    QueueTimeout {
        /// Engine.
        engine: Arc<str>,
        /// How long it waited, or was predicted to.
        waited: Duration,
        /// Seconds.
        retry_after: u64,
    },
    /// The engine refused to load the model, or it is in its backoff after that.
    #[error("'{engine}' could not load '{model}': {message}")]
    LoadFailed {
        /// Engine.
        engine: Arc<str>,
        /// Model.
        model: Arc<str>,
        /// The engine's own words.
        message: String,
        /// Seconds.
        retry_after: u64,
    },
    /// The engine listed the model a moment ago, and does not have it any more.
    #[error("the engine '{engine}' does not have '{model}' any more; it answered: {message}")]
    ModelMissing {
        /// Engine.
        engine: Arc<str>,
        /// Model.
        model: Arc<str>,
        /// The engine's own words.
        message: String,
    },
    /// The load did not end within its budget.
    #[error("'{engine}' did not load '{model}' in {after:?}")]
    LoadTimeout {
        /// Engine.
        engine: Arc<str>,
        /// Model.
        model: Arc<str>,
        /// The budget.
        after: Duration,
    },
    /// A model loaded by hand is in the way and may not be evicted.
    #[error("'{blocker}' on '{engine}' was loaded by hand and blocks '{model}'")]
    Blocked {
        /// Engine.
        engine: Arc<str>,
        /// Model.
        model: Arc<str>,
        /// What is in the way.
        blocker: Arc<str>,
        /// Seconds.
        retry_after: u64,
    },
    /// The wait for a model that a person loaded with too little context expired while it was in use.
    #[error("'{instance}' on '{engine}' has {has} tokens of context and was in use the whole time")]
    ForeignBusy {
        /// Engine.
        engine: Arc<str>,
        /// What it speaks.
        kind: EngineKind,
        /// What the person loaded.
        instance: Arc<str>,
        /// Tokens of context that it has.
        has: u64,
        /// How long it waited.
        waited: Duration,
        /// Seconds.
        retry_after: u64,
    },
    /// The prompt cannot fit.
    #[error("the prompt has about {prompt} tokens, '{model}' can have {limit} of context")]
    ContextExceeded {
        /// Model.
        model: Arc<str>,
        /// Tokens of the prompt.
        prompt: u64,
        /// Tokens that are kept for the answer.
        reserve: u64,
        /// Tokens that it can have.
        limit: u64,
        /// What sets that limit.
        bound: ContextBound,
    },
    /// A newer request of the same client took its place.
    #[error("a newer request took its place")]
    Superseded,
    /// Crucible is going down.
    #[error("draining")]
    Draining,
}
