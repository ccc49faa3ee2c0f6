//! Errors in Anthropic's form.

use crate::error::{Error, ErrorFault, ErrorKind};
use serde_json::{Value, json};

/// Returns the document `{"type": "error", "error": {"type", "message"}}`.
///
/// A prompt that is too long is told in the words by which clients know it: "prompt is too long: 5000
/// tokens > 4096 maximum".
pub(super) fn error_document(error: &Error) -> Value {
    let message = match error.too_long_in_short() {
        Some(words) => words,
        None => error.message.clone().into_owned(),
    };
    json!({ "type": "error", "error": { "type": error_type(error), "message": message } })
}

/// Returns Anthropic's word for a kind of error. Claude Code takes `not_found_error` for a wrong model.
fn error_type(error: &Error) -> &'static str {
    match error.kind {
        ErrorKind::InvalidApiKey => "authentication_error",
        ErrorKind::HostNotAllowed | ErrorKind::OriginNotAllowed | ErrorKind::EndpointClosed => {
            "permission_error"
        }
        ErrorKind::ModelNotFound | ErrorKind::UnknownEndpoint | ErrorKind::MethodNotAllowed => {
            "not_found_error"
        }
        ErrorKind::BodyTooLarge => "request_too_large",
        ErrorKind::QueueFull | ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::QueueTimeout
        | ErrorKind::Draining
        | ErrorKind::TooManyConnections
        | ErrorKind::NoEngine
        | ErrorKind::LoadFailed => "overloaded_error",
        ErrorKind::LoadTimeout
        | ErrorKind::FirstTokenTimeout
        | ErrorKind::IdleTimeout
        | ErrorKind::ResponseTimeout => "timeout_error",
        _ => match error.kind.fault() {
            ErrorFault::Client => "invalid_request_error",
            ErrorFault::Engine | ErrorFault::Crucible => "api_error",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::context_length::TooMuch;

    #[test]
    fn the_wire_form_is_anthropics() {
        let error = Error::new(ErrorKind::QueueFull, "full").retry_after(3);
        assert_eq!(
            error_document(&error).to_string(),
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"full"}}"#
        );
    }

    #[test]
    fn every_kind_has_a_word_that_clients_know() {
        for (kind, word) in [
            (ErrorKind::InvalidJson, "invalid_request_error"),
            (ErrorKind::UnsupportedValue, "invalid_request_error"),
            (ErrorKind::ContextLengthExceeded, "invalid_request_error"),
            (ErrorKind::EngineRejected, "invalid_request_error"),
            (ErrorKind::InvalidApiKey, "authentication_error"),
            (ErrorKind::HostNotAllowed, "permission_error"),
            (ErrorKind::ModelNotFound, "not_found_error"),
            (ErrorKind::UnknownEndpoint, "not_found_error"),
            (ErrorKind::BodyTooLarge, "request_too_large"),
            (ErrorKind::RateLimited, "rate_limit_error"),
            (ErrorKind::QueueTimeout, "overloaded_error"),
            (ErrorKind::NoEngine, "overloaded_error"),
            (ErrorKind::EngineError, "api_error"),
            (ErrorKind::Internal, "api_error"),
            (ErrorKind::FirstTokenTimeout, "timeout_error"),
        ] {
            assert_eq!(error_type(&Error::new(kind, "x")), word, "{kind:?}");
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_in_the_words_that_clients_compact_at() {
        let told = |limit, prompt, completion| {
            let much = TooMuch {
                limit,
                prompt,
                completion,
            };
            let document = error_document(&much.error("Ask another."));
            document["error"]["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            told(Some(4096), 5000, 100),
            "prompt is too long: 5000 tokens > 4096 maximum. Ask another."
        );
        assert_eq!(
            told(Some(4096), 4000, 200),
            "prompt is too long: 4200 tokens > 4096 maximum. Ask another."
        );
        assert_eq!(
            told(None, 9000, 0),
            "prompt is too long: 9000 tokens > 8999 maximum. Ask another."
        );
    }
}
