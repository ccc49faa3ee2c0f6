//! Errors in OpenAI's form.

use serde_json::{Value, json};

use crate::error::{Error, ErrorFault, ErrorKind};

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
const fn error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidApiKey => "authentication_error",
        ErrorKind::HostNotAllowed | ErrorKind::OriginNotAllowed | ErrorKind::EndpointClosed => {
            "permission_error"
        }
        ErrorKind::ModelNotFound | ErrorKind::UnknownEndpoint | ErrorKind::MethodNotAllowed => {
            "not_found_error"
        }
        ErrorKind::QueueFull | ErrorKind::RateLimited => "rate_limit_error",
        _ => match kind.fault() {
            ErrorFault::Client => "invalid_request_error",
            ErrorFault::Engine | ErrorFault::Crucible => "api_error",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_status_and_type_of_the_surface() {
        for (kind, status, error_type) in [
            (ErrorKind::InvalidJson, 400, "invalid_request_error"),
            (ErrorKind::InvalidType, 400, "invalid_request_error"),
            (ErrorKind::DuplicateKey, 400, "invalid_request_error"),
            (ErrorKind::MissingField, 400, "invalid_request_error"),
            (ErrorKind::UnsupportedValue, 400, "invalid_request_error"),
            (ErrorKind::BadRequest, 400, "invalid_request_error"),
            (ErrorKind::RequestTimeout, 408, "invalid_request_error"),
            (
                ErrorKind::ContextLengthExceeded,
                400,
                "invalid_request_error",
            ),
            (ErrorKind::InvalidApiKey, 401, "authentication_error"),
            (ErrorKind::HostNotAllowed, 403, "permission_error"),
            (ErrorKind::OriginNotAllowed, 403, "permission_error"),
            (ErrorKind::EndpointClosed, 403, "permission_error"),
            (ErrorKind::ModelNotFound, 404, "not_found_error"),
            (ErrorKind::UnknownEndpoint, 404, "not_found_error"),
            (ErrorKind::MethodNotAllowed, 405, "not_found_error"),
            (ErrorKind::BodyTooLarge, 413, "invalid_request_error"),
            (ErrorKind::HeadersTooLarge, 431, "invalid_request_error"),
            (ErrorKind::QueueFull, 429, "rate_limit_error"),
            (ErrorKind::Superseded, 409, "invalid_request_error"),
            (ErrorKind::RateLimited, 429, "rate_limit_error"),
            (ErrorKind::EngineUnreachable, 502, "api_error"),
            (ErrorKind::EngineError, 502, "api_error"),
            (ErrorKind::EngineCut, 502, "api_error"),
            (ErrorKind::QueueTimeout, 503, "api_error"),
            (ErrorKind::Draining, 503, "api_error"),
            (ErrorKind::TooManyConnections, 503, "api_error"),
            (ErrorKind::NoEngine, 503, "api_error"),
            (ErrorKind::LoadFailed, 503, "api_error"),
            (ErrorKind::LoadTimeout, 504, "api_error"),
            (ErrorKind::FirstTokenTimeout, 504, "api_error"),
            (ErrorKind::IdleTimeout, 504, "api_error"),
            (ErrorKind::ResponseTimeout, 504, "api_error"),
        ] {
            assert_eq!(kind.status(), status, "{kind:?}");
            assert_eq!(super::error_type(kind), error_type, "{kind:?}");
        }
    }

    #[test]
    fn the_wire_form_is_openais() {
        let error = Error::new(ErrorKind::QueueFull, "full").retry_after(90);
        assert_eq!(
            error_document(&error).to_string(),
            r#"{"error":{"message":"full","type":"rate_limit_error","param":null,"code":"queue_full","retry_after":60}}"#
        );
    }
}
