//! The errors of calls to an engine's control side.

use crate::catalog::ResidentInfo;

/// The reason why a call to an engine's control side failed; its text is shown to people.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens at its address: the system refused the connection.
    #[error("unreachable: {0}")]
    NobodyListens(String),
    /// No connection within its time, or it broke: whoever listens there may still live.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The engine did not answer in its time.
    #[error("no answer in time")]
    Timeout,
    /// The engine answered with an error.
    #[error("{message}")]
    Refused {
        /// HTTP status; 200 where the error hid inside a success.
        status: u16,
        /// The message of the engine, in its own words.
        message: String,
    },
    /// The model came there meanwhile, with less context than was ordered.
    #[error("'{}' is already loaded with less context", .0.model)]
    HeldSmaller(Box<ResidentInfo>),
    /// The engine cannot be started, because something that it needs is not on this machine.
    #[error("{0}")]
    Absent(String),
    /// The engine's answer is not one of its API.
    #[error("not understood: {0}")]
    Unexpected(String),
    /// This engine cannot do that.
    #[error("not supported by this engine: {0}")]
    Unsupported(&'static str),
}
