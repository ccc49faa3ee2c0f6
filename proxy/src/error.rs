//! The error of a request: its kind, whose fault it is, whether another candidate may be tried, and
//! the text for the client.
//!
//! One function each gives status, code and log level; the form on the wire is the client format's.
//! An error never holds an address, a key or a prompt.

mod cause;
pub(crate) mod context_length;
mod kind;
mod refused;
mod too_long_prompt;

use std::{borrow::Cow, fmt};

use crucible_config::checked::EngineKind;
use http::StatusCode;

use self::too_long_prompt::TooLongPrompt;
pub use self::{
    cause::{AbortCause, FallbackReason, UpstreamError},
    kind::{ErrorFault, ErrorKind},
};

/// One error on its way to a client.
#[derive(Clone, Debug)]
pub struct Error {
    /// The kind, from which status, code and log level follow.
    pub kind: ErrorKind,
    /// The text for the client: names the field, what was found, what to do.
    pub message: Cow<'static, str>,
    /// JSON path of the offending field.
    pub param: Option<String>,
    /// The whole seconds after which to come back, 1 to 60.
    pub retry_after: Option<u64>,
    /// The engine's own status, for [`ErrorKind::EngineRejected`].
    pub engine_status: Option<StatusCode>,
    /// The way in which the engine failed, where the kind alone does not say it.
    pub upstream: Option<UpstreamError>,
    /// The engine asks to be left alone for the seconds of [`Error::retry_after`].
    pub spared: bool,
    /// The engine itself found the prompt too long for the context that it is loaded with.
    pub overflow: Option<Overflow>,
    /// The engine does not hold the model that it was known to hold.
    pub not_loaded: bool,
    /// The numbers of a prompt that is too long, for formats with words of their own for it.
    pub(crate) too_long: Option<Box<TooLongPrompt>>,
}

/// A prompt that an engine refused for its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// The tokens of the prompt as the engine counted them, where it tells.
    pub counted: Option<u64>,
    /// The tokens by which the prompt is longer than the context, where it tells these instead.
    pub beyond: Option<u64>,
    /// The engine said nothing at all, which LM Studio does for such a prompt among other reasons.
    pub suspected: bool,
}

// === impl Error ===

impl Error {
    /// An error of this kind with this text for the client.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            retry_after: None,
            engine_status: None,
            upstream: None,
            spared: false,
            overflow: None,
            not_loaded: false,
            too_long: None,
        }
    }

    /// The error of an answer that is kept until its end and grows beyond `limits.event`.
    pub(crate) fn answer_too_large() -> Self {
        Self::new(
            ErrorKind::EngineError,
            "the engine's answer is larger than limits.event",
        )
        .upstream(UpstreamError::Oversize)
    }

    /// Notes that the engine does not hold the model.
    #[must_use]
    pub const fn not_loaded(mut self) -> Self {
        self.not_loaded = true;
        self
    }

    /// Whether the next candidate of the plan may be tried: the kind says so, or the engine has no
    /// such model any more, which another one may have.
    pub const fn retryable(&self) -> bool {
        self.kind.retryable() || self.not_loaded
    }

    /// Names the field that is wrong, as a JSON path.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Sets the seconds after which to come back, clamped to 1..=60 (SDKs ignore more).
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.clamp(1, 60));
        self
    }

    /// Sets the seconds after which to come back as they are, where a sooner return is always in vain: the
    /// SDKs of OpenAI and Anthropic wait a minute at most and then report the error.
    #[must_use]
    pub const fn retry_not_before(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Notes more closely how the engine failed.
    #[must_use]
    pub const fn upstream(mut self, failure: UpstreamError) -> Self {
        self.upstream = Some(failure);
        self
    }

    /// The engine ended its answer without a word, which is the way of some to say that the prompt is
    /// longer than the context.
    #[must_use]
    pub const fn silent(mut self, kind: EngineKind) -> Self {
        if kind.profile().silent_overflow {
            self.overflow = Some(Overflow {
                counted: None,
                beyond: None,
                suspected: true,
            });
        }
        self
    }

    /// The failure to count for the engine, if it is one.
    pub fn upstream_failure(&self) -> Option<UpstreamError> {
        self.upstream.or(match self.kind {
            ErrorKind::EngineUnreachable => Some(UpstreamError::Connect),
            ErrorKind::EngineError => Some(UpstreamError::Http5xx),
            ErrorKind::EngineCut => Some(UpstreamError::Truncated),
            ErrorKind::FirstTokenTimeout => Some(UpstreamError::FirstTokenTimeout),
            ErrorKind::IdleTimeout => Some(UpstreamError::IdleTimeout),
            ErrorKind::ResponseTimeout => Some(UpstreamError::ResponseTimeout),
            _ => None,
        })
    }

    /// The HTTP status for the client.
    pub fn status(&self) -> StatusCode {
        match (self.kind, self.engine_status) {
            (ErrorKind::EngineRejected, Some(status)) => status,
            (kind, _) => kind.status(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
