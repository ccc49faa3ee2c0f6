//! The error of a request: its kind, whose fault it is, whether another candidate may be tried, and
//! the text for the client.
//!
//! One function each gives status, code and log level; the form on the wire is the client format's.
//! An error never holds an address, a key or a prompt.

mod cause;
pub(crate) mod context_length;
mod refused;
mod too_long_prompt;

use std::{borrow::Cow, fmt};

use crucible_config::checked::EngineKind;
use http::StatusCode;

pub use self::cause::{AbortCause, FallbackReason, UpstreamError};
use self::too_long_prompt::TooLongPrompt;

/// The party whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFault {
    /// The client asked for something wrong.
    Client,
    /// The engine failed.
    Engine,
    /// Crucible failed, or is too busy.
    Crucible,
}

/// The kinds of errors that end a client's request.
///
/// A kind decides everything that is the same for all errors of it: the status, the word on the wire
/// ([`ErrorKind::code`], `model_not_found` for example), whose fault it is, and whether another candidate may
/// be tried. `docs/api.md` lists when each is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each name is its wire code, described by the table of statuses in the docs"
)]
pub enum ErrorKind {
    InvalidJson,
    InvalidType,
    DuplicateKey,
    MissingField,
    UnsupportedValue,
    BadRequest,
    RequestTimeout,
    ContextLengthExceeded,
    InvalidApiKey,
    HostNotAllowed,
    OriginNotAllowed,
    EndpointClosed,
    ModelNotFound,
    UnknownEndpoint,
    MethodNotAllowed,
    BodyTooLarge,
    HeadersTooLarge,
    UnsupportedMediaType,
    QueueFull,
    /// A newer request of the same client took the place of this one.
    Superseded,
    RateLimited,
    /// The engine's own 4xx that is the client's fault; the status is the engine's.
    EngineRejected,
    EngineUnreachable,
    EngineError,
    EngineCut,
    QueueTimeout,
    Draining,
    /// All places of `limits.connections` are busy.
    TooManyConnections,
    NoEngine,
    LoadFailed,
    LoadTimeout,
    FirstTokenTimeout,
    IdleTimeout,
    ResponseTimeout,
    Internal,
}

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

// === impl ErrorKind ===

impl ErrorKind {
    /// Every kind, for metric labels that exist from the start.
    pub const ALL: [Self; 35] = [
        Self::InvalidJson,
        Self::InvalidType,
        Self::DuplicateKey,
        Self::MissingField,
        Self::UnsupportedValue,
        Self::BadRequest,
        Self::RequestTimeout,
        Self::ContextLengthExceeded,
        Self::InvalidApiKey,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
        Self::EndpointClosed,
        Self::ModelNotFound,
        Self::UnknownEndpoint,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::HeadersTooLarge,
        Self::UnsupportedMediaType,
        Self::QueueFull,
        Self::Superseded,
        Self::RateLimited,
        Self::EngineRejected,
        Self::EngineUnreachable,
        Self::EngineError,
        Self::EngineCut,
        Self::QueueTimeout,
        Self::Draining,
        Self::TooManyConnections,
        Self::NoEngine,
        Self::LoadFailed,
        Self::LoadTimeout,
        Self::FirstTokenTimeout,
        Self::IdleTimeout,
        Self::ResponseTimeout,
        Self::Internal,
    ];

    /// The kinds that are counted as refusals of Crucible's own: all but those of an engine's fault.
    pub const REJECTED: [Self; 27] = {
        let mut kinds = [Self::Internal; 27];
        let (mut from, mut to) = (0, 0);
        while from < Self::ALL.len() {
            if Self::ALL[from].is_rejection() {
                kinds[to] = Self::ALL[from];
                to += 1;
            }
            from += 1;
        }
        assert!(
            to == kinds.len(),
            "the number of kinds is that of the array"
        );
        kinds
    };

    /// Whether an answer with this error is counted as a refusal of Crucible's own, and not as a failure of
    /// an engine.
    pub(crate) const fn is_rejection(self) -> bool {
        !matches!(self.fault(), ErrorFault::Engine)
    }

    /// The code on the wire, which is also the metric label of a reject.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidType => "invalid_type",
            Self::DuplicateKey => "duplicate_key",
            Self::MissingField => "missing_field",
            Self::UnsupportedValue => "unsupported_value",
            Self::BadRequest => "bad_request",
            Self::RequestTimeout => "request_timeout",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::InvalidApiKey => "invalid_api_key",
            Self::HostNotAllowed => "host_not_allowed",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::EndpointClosed => "endpoint_closed",
            Self::ModelNotFound => "model_not_found",
            Self::UnknownEndpoint | Self::MethodNotAllowed => "unknown_endpoint",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::QueueFull => "queue_full",
            Self::Superseded => "superseded",
            Self::RateLimited => "rate_limited",
            Self::EngineRejected => "engine_rejected",
            Self::EngineUnreachable => "engine_unreachable",
            Self::EngineError => "engine_error",
            Self::EngineCut => "engine_cut",
            Self::QueueTimeout => "queue_timeout",
            Self::Draining => "draining",
            Self::TooManyConnections => "too_many_connections",
            Self::NoEngine => "no_engine",
            Self::LoadFailed => "load_failed",
            Self::LoadTimeout => "load_timeout",
            Self::FirstTokenTimeout => "first_token_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::ResponseTimeout => "response_timeout",
            Self::Internal => "internal_error",
        }
    }

    /// The HTTP status, before anything was sent.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson
            | Self::InvalidType
            | Self::DuplicateKey
            | Self::MissingField
            | Self::UnsupportedValue
            | Self::BadRequest
            | Self::ContextLengthExceeded
            | Self::EngineRejected => StatusCode::BAD_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::InvalidApiKey => StatusCode::UNAUTHORIZED,
            Self::HostNotAllowed | Self::OriginNotAllowed | Self::EndpointClosed => {
                StatusCode::FORBIDDEN
            }
            Self::ModelNotFound | Self::UnknownEndpoint => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::QueueFull | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Superseded => StatusCode::CONFLICT,
            Self::EngineUnreachable | Self::EngineError | Self::EngineCut => {
                StatusCode::BAD_GATEWAY
            }
            Self::QueueTimeout
            | Self::Draining
            | Self::TooManyConnections
            | Self::NoEngine
            | Self::LoadFailed => StatusCode::SERVICE_UNAVAILABLE,
            Self::LoadTimeout
            | Self::FirstTokenTimeout
            | Self::IdleTimeout
            | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The party whose fault it is.
    pub const fn fault(self) -> ErrorFault {
        match self {
            Self::EngineUnreachable
            | Self::EngineError
            | Self::EngineCut
            | Self::LoadFailed
            | Self::LoadTimeout
            | Self::FirstTokenTimeout
            | Self::IdleTimeout
            | Self::ResponseTimeout => ErrorFault::Engine,
            Self::QueueTimeout
            | Self::Draining
            | Self::TooManyConnections
            | Self::NoEngine
            | Self::Internal => ErrorFault::Crucible,
            _ => ErrorFault::Client,
        }
    }

    /// Whether the next candidate of the plan may be tried (nothing was sent to the client yet).
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::EngineUnreachable
                | Self::EngineError
                | Self::EngineCut
                | Self::LoadFailed
                | Self::LoadTimeout
                | Self::NoEngine
                | Self::QueueFull
                | Self::QueueTimeout
        )
    }

    /// The level of the one log line.
    pub const fn level(self) -> tracing::Level {
        match self.fault() {
            ErrorFault::Client => tracing::Level::INFO,
            ErrorFault::Engine => tracing::Level::WARN,
            ErrorFault::Crucible => match self {
                Self::Internal => tracing::Level::ERROR,
                _ => tracing::Level::WARN,
            },
        }
    }
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

    /// The engine ended its answer without a word: LM Studio's way, among others, to say that the
    /// prompt is longer than its context (0.3; 0.4 on GGUF).
    #[must_use]
    pub const fn silent(mut self, kind: EngineKind) -> Self {
        if matches!(kind, EngineKind::Lmstudio) {
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
