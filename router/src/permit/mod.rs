//! One request's right to use one resident: a guard that lives in the response body.
//!
//! The scheduler grants a [`Permit`]; dropping it releases the slot, so that a client that leaves, an error
//! and the end of an answer all give it back. The [`EngineAttempt`] inside reports how the request went to
//! the health of the engine.

mod attempt;
mod releases;

use std::{sync::Arc, time::Duration};

use crucible_config::checked::EngineKind;

pub use self::attempt::EngineAttempt;
pub(crate) use self::{
    attempt::OutcomeReceiver,
    releases::{PermitNote, Releases},
};
use crate::{options::LoadTuple, transport::EngineAddress};

/// The right of one request to use one resident; dropping it gives it back.
pub struct Permit {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The kind of the engine.
    pub kind: EngineKind,
    /// The address to send the request to.
    pub address: EngineAddress,
    /// The engine's own token.
    pub token: Option<Arc<str>>,
    /// The name of the model on that engine.
    pub model: Arc<str>,
    /// The instance to name in the request.
    pub instance: Arc<str>,
    /// The load options, which requests to Ollama repeat.
    pub tuple: LoadTuple,
    /// The most context that the request can use in tokens, where that is known.
    pub context: Option<u64>,
    /// The context that the request has in tokens while others share the instance, where that is known:
    /// the one that an explanation calls given.
    pub context_share: Option<u64>,
    /// The context per request in tokens that is configured for the model, whoever asks.
    pub configured_context: u64,
    /// The context of the whole instance in tokens, where that is known.
    pub whole_context: Option<u64>,
    /// The time from the request for the permit to its grant.
    pub waited: Duration,
    /// Whether a load was part of that time.
    pub loaded: bool,
    /// The attempt that the sender takes to report the outcome.
    pub(crate) attempt: Option<EngineAttempt>,
    pub(crate) ticket: u64,
    pub(crate) grace: Duration,
    pub(crate) for_tools: bool,
    pub(crate) releases: Arc<Releases>,
}

// === impl Permit ===

impl Permit {
    /// Takes the attempt, for whoever sends the request to report how that went. Left here, the request
    /// came to nothing.
    pub fn take_attempt(&mut self) -> Option<EngineAttempt> {
        self.attempt.take()
    }

    /// Notes that the answer ended in tool calls, so that the client comes back when they are done.
    pub fn expect_next_turn(&mut self) {
        self.for_tools = true;
    }

    /// Gives the permit back once the engine is free again, `grace` from now.
    pub fn release_after(mut self, grace: Duration) {
        self.grace = grace;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.releases.push(PermitNote::Released {
            ticket: self.ticket,
            grace: self.grace,
            for_tools: self.for_tools,
        });
    }
}
