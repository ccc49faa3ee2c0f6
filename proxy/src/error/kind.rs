//! The kinds of errors: for each the word on the wire, the status, the party whose fault it is and the level
//! of its log line.

use http::StatusCode;

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

    /// The level of the log line of a request that ends with this error: `INFO` where the client is at fault,
    /// `ERROR` for a fault inside Crucible, else `WARN`.
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
