//! A request that some engines take as its client wrote it.

use bytes::Bytes;
use serde_json::Value;

use crate::error::Error;

/// A client format that some engines speak as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedFormat {
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

/// The request as its client wrote it, kept for engines that are configured to take it so
/// (`passthrough`).
#[derive(Clone, Debug)]
pub struct SharedRequest {
    /// The format of the body.
    pub format: SharedFormat,
    /// The client's body, without what breaks an engine's prefix cache.
    pub body: Bytes,
    /// Writes the event that ends a stream with an error.
    pub failed: FailureWriter,
}

/// Writes the event that ends a stream with an error after events of the engine's own; `None` where that
/// event does not depend on them, so that the client's format writes it.
pub type FailureWriter = fn(&Error, &BegunStream) -> Option<Bytes>;

/// The beginning of a stream that passes.
#[derive(Clone, Debug, Default)]
pub struct BegunStream {
    /// The object that the first event of a response holds, or null.
    pub response: Value,
    /// The number of events so far, signs of life left out.
    pub events: u64,
}

// === impl SharedFormat ===

impl SharedFormat {
    /// Returns the word for the format in an engine's setting `passthrough`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// Returns the path of the format, which is the same at Crucible and at engines.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }
}
