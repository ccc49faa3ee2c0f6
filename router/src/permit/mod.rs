//! One request's right to use one resident, which is a model that is loaded in an engine with
//! certain load options. The right is a guard that lives in the response body.
//!
//! The scheduler grants a [`Permit`]; dropping it releases the slot, so that a client that leaves,
//! an error and the end of an answer all give it back. The [`EngineAttempt`] inside reports how the
//! request went to the health of the engine.

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

/// The right of one request to use one resident (a model that is loaded in an engine), with all
/// that is needed to send the request there. Dropping it gives the slot back.
pub struct Permit {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The kind of the engine, such as Ollama.
    pub kind: EngineKind,
    /// The address to send the request to.
    pub address: EngineAddress,
    /// The access token that the engine asks for; `None` where it asks for none.
    pub token: Option<Arc<str>>,
    /// The name of the model on that engine.
    pub model: Arc<str>,
    /// The name of the resident to send in the request, which may differ from the model's.
    pub instance: Arc<str>,
    /// The options with which the resident was loaded; a request to Ollama repeats them, so that it
    /// is not loaded anew.
    pub tuple: LoadTuple,
    /// The most context that the request can use in tokens, where that is known.
    pub context: Option<u64>,
    /// The context that the request has in tokens while others share the instance, where that is
    /// known: the one that an explanation calls given.
    pub context_share: Option<u64>,
    /// The context per request in tokens that is configured for the model, whoever asks.
    pub configured_context: u64,
    /// The context of the whole instance in tokens, where that is known.
    pub whole_context: Option<u64>,
    /// The time from the request for the permit to its grant.
    pub waited: Duration,
    /// Whether a load was part of that time.
    pub loaded: bool,
    /// The report of the outcome, until [`Permit::take_attempt`] hands it to the sender.
    pub(crate) attempt: Option<EngineAttempt>,
    /// The number of the request with the scheduler.
    pub(crate) ticket: u64,
    /// The time from the drop of the permit until its slot is free: an engine may still work on the
    /// answer to a client that left. Zero by default.
    pub(crate) grace: Duration,
    /// Whether the answer ended in tool calls, so that the client's next request is expected soon.
    pub(crate) for_tools: bool,
    /// The queue through which the permit goes back to the scheduler.
    pub(crate) releases: Arc<Releases>,
}

// === impl Permit ===

impl Permit {
    /// Takes the guard by which the sender of the request reports how it went; `None` after the
    /// first call. Where nobody takes it, the request counts as abandoned.
    pub fn take_attempt(&mut self) -> Option<EngineAttempt> {
        self.attempt.take()
    }

    /// Notes that the answer ended in tool calls, so that the scheduler expects the client's next
    /// request soon.
    pub fn expect_next_turn(&mut self) {
        self.for_tools = true;
    }

    /// Gives the permit back after `grace`, for an engine that still works on a request whose
    /// client has left.
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
