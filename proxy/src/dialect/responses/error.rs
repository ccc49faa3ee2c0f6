//! Errors inside a stream: the event `response.failed`, and the code in it.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    event_writer::EventWriter,
    head::{ResponseHead, ResponseState, ResponseStatus},
};
use crate::{
    dialect::chat::BegunStream,
    error::{Error, ErrorFault, ErrorKind},
};

/// Returns the code of an error within a response.
///
/// Clients act by it. Codex (0.171) repeats a request for a code that it does not know and for
/// `server_error`, waits the seconds of the text for `rate_limit_exceeded`, and gives up at once for the
/// others; the text of `invalid_prompt` is shown.
const fn code(kind: ErrorKind, waits: bool) -> &'static str {
    match kind {
        ErrorKind::ContextLengthExceeded => "context_length_exceeded",
        ErrorKind::RateLimited
        | ErrorKind::QueueFull
        | ErrorKind::QueueTimeout
        | ErrorKind::Draining
        | ErrorKind::TooManyConnections
        | ErrorKind::NoEngine
        | ErrorKind::LoadFailed => {
            if waits {
                "rate_limit_exceeded"
            } else {
                "server_is_overloaded"
            }
        }
        // The same again would take as long again.
        ErrorKind::LoadTimeout
        | ErrorKind::FirstTokenTimeout
        | ErrorKind::IdleTimeout
        | ErrorKind::ResponseTimeout => "server_is_overloaded",
        _ => match kind.fault() {
            ErrorFault::Client => "invalid_prompt",
            ErrorFault::Engine | ErrorFault::Crucible => "server_error",
        },
    }
}

/// Returns the error object of a response, as JSON.
pub(super) fn error_json(error: &Error) -> String {
    let code = code(error.kind, error.retry_after.is_some());
    let mut message = error.message.to_string();
    let mut document = json!({ "code": code });
    if let Some(param) = &error.param {
        document["param"] = param.as_str().into();
    }
    if let Some(seconds) = error.retry_after {
        // Writing to a string cannot fail.
        let _ = write!(message, " Please try again in {seconds}s.");
        document["retry_after"] = seconds.into();
    }
    document["message"] = message.into();
    document.to_string()
}

/// Returns the event of a response that failed after events that its engine wrote itself; `None` where
/// none of them began it.
pub(super) fn failed_after(error: &Error, begun: &BegunStream) -> Option<Bytes> {
    let mut response = begun.response.as_object()?.clone();
    response.insert("status".to_owned(), json!("failed"));
    let failure: Value = serde_json::from_str(&error_json(error)).ok()?;
    response.insert("error".to_owned(), failure);
    let event = json!({
        "type": "response.failed",
        "sequence_number": begun.events,
        "response": response,
    });
    Some(format!("event: response.failed\ndata: {event}\n\n").into())
}

/// Returns the events of a response that failed before anything of it was sent.
pub(super) fn failed_at_once(error: &Error) -> Bytes {
    let head = ResponseHead::unknown();
    let mut events = EventWriter::default();
    let failure = error_json(error);
    for (kind, status, error) in [
        ("response.created", ResponseStatus::InProgress, None),
        ("response.failed", ResponseStatus::Failed, Some(&*failure)),
    ] {
        let state = ResponseState {
            status,
            model: "",
            output: b"",
            error,
            usage: None,
        };
        events.begin(kind);
        events.with("response", |out| head.write(&state, out)).end();
    }
    events.take().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_one_that_clients_act_on() {
        for (kind, seconds, code) in [
            (
                ErrorKind::ContextLengthExceeded,
                None,
                "context_length_exceeded",
            ),
            (ErrorKind::UnsupportedValue, None, "invalid_prompt"),
            (ErrorKind::EngineRejected, None, "invalid_prompt"),
            (ErrorKind::ModelNotFound, None, "invalid_prompt"),
            (ErrorKind::QueueFull, Some(3), "rate_limit_exceeded"),
            (ErrorKind::NoEngine, Some(5), "rate_limit_exceeded"),
            (ErrorKind::Draining, None, "server_is_overloaded"),
            (ErrorKind::FirstTokenTimeout, None, "server_is_overloaded"),
            (ErrorKind::EngineCut, None, "server_error"),
            (ErrorKind::Internal, None, "server_error"),
        ] {
            let mut error = Error::new(kind, "It broke.");
            error.retry_after = seconds;
            let document: Value = serde_json::from_str(&error_json(&error)).unwrap();
            assert_eq!(document["code"], code, "{kind:?}");
            let waits = seconds.map(|s| format!("It broke. Please try again in {s}s."));
            assert_eq!(document["message"], waits.unwrap_or("It broke.".to_owned()));
        }
    }
}
