//! Errors in OpenAI's form.

use serde_json::{Value, json};

use crate::error::{Error, Fault, Kind};

/// Returns the document `{"error": {"message", "type", "param", "code"}}`, with `retry_after` in
/// seconds where the error has one.
pub fn error_document(error: &Error) -> Value {
    let mut document = json!({
        "message": error.message,
        "type": error_type(error.kind),
        "param": error.param,
        "code": error.kind.code(),
    });
    if let Some(seconds) = error.retry_after {
        document["retry_after"] = seconds.into();
    }
    json!({ "error": document })
}

/// Returns OpenAI's `error.type` for a kind of error.
const fn error_type(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidApiKey => "authentication_error",
        Kind::HostNotAllowed | Kind::OriginNotAllowed | Kind::EndpointClosed => "permission_error",
        Kind::ModelNotFound | Kind::UnknownEndpoint | Kind::MethodNotAllowed => "not_found_error",
        Kind::QueueFull | Kind::RateLimited => "rate_limit_error",
        _ => match kind.fault() {
            Fault::Client => "invalid_request_error",
            Fault::Engine | Fault::Crucible => "api_error",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_status_and_type_of_the_surface() {
        for (kind, status, error_type) in [
            (Kind::InvalidJson, 400, "invalid_request_error"),
            (Kind::InvalidType, 400, "invalid_request_error"),
            (Kind::DuplicateKey, 400, "invalid_request_error"),
            (Kind::MissingField, 400, "invalid_request_error"),
            (Kind::UnsupportedValue, 400, "invalid_request_error"),
            (Kind::BadRequest, 400, "invalid_request_error"),
            (Kind::RequestTimeout, 408, "invalid_request_error"),
            (Kind::ContextLengthExceeded, 400, "invalid_request_error"),
            (Kind::InvalidApiKey, 401, "authentication_error"),
            (Kind::HostNotAllowed, 403, "permission_error"),
            (Kind::OriginNotAllowed, 403, "permission_error"),
            (Kind::EndpointClosed, 403, "permission_error"),
            (Kind::ModelNotFound, 404, "not_found_error"),
            (Kind::UnknownEndpoint, 404, "not_found_error"),
            (Kind::MethodNotAllowed, 405, "not_found_error"),
            (Kind::BodyTooLarge, 413, "invalid_request_error"),
            (Kind::HeadersTooLarge, 431, "invalid_request_error"),
            (Kind::QueueFull, 429, "rate_limit_error"),
            (Kind::Superseded, 409, "invalid_request_error"),
            (Kind::RateLimited, 429, "rate_limit_error"),
            (Kind::EngineUnreachable, 502, "api_error"),
            (Kind::EngineError, 502, "api_error"),
            (Kind::EngineCut, 502, "api_error"),
            (Kind::QueueTimeout, 503, "api_error"),
            (Kind::Draining, 503, "api_error"),
            (Kind::TooManyConnections, 503, "api_error"),
            (Kind::NoEngine, 503, "api_error"),
            (Kind::LoadFailed, 503, "api_error"),
            (Kind::LoadTimeout, 504, "api_error"),
            (Kind::FirstTokenTimeout, 504, "api_error"),
            (Kind::IdleTimeout, 504, "api_error"),
            (Kind::ResponseTimeout, 504, "api_error"),
        ] {
            assert_eq!(kind.status(), status, "{kind:?}");
            assert_eq!(super::error_type(kind), error_type, "{kind:?}");
        }
    }

    #[test]
    fn the_wire_form_is_openais() {
        let error = Error::new(Kind::QueueFull, "full").retry_after(90);
        assert_eq!(
            error_document(&error).to_string(),
            r#"{"error":{"message":"full","type":"rate_limit_error","param":null,"code":"queue_full","retry_after":60}}"#
        );
    }
}
