//! Errors of engines, lifted from their many shapes into one.
//!
//! Engines answer with bare strings, with JSON inside strings, with an error inside a 200, with 400 for a
//! fault of their own and with 500 for the client's. Each function here reads one place where an error may
//! stand; the sentence is found by `message`, its kind by `classify`.

mod classify;
mod message;
mod overflow;
pub(crate) mod overflow_lengths;
mod own_fault;
mod success;
#[cfg(test)]
mod tests;
mod unservable;

use crucible_config::checked::EngineKind;
use http::StatusCode;
use serde_json::Value;

use self::{
    classify::{classify, says_an_error},
    message::message,
    success::{is_error, single, stated_status},
};
use crate::error::{Error, ErrorKind, UpstreamError};

/// Returns Crucible's error for an engine's answer of an error status. A `Retry-After` header is the
/// caller's to add.
pub fn engine_error(kind: EngineKind, status: StatusCode, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|value| message(&value))
        .unwrap_or_else(|| text.trim().to_owned());
    classify(kind, status, &message, &text)
}

/// Returns the error that hides in the body of a 200; `None` where there is none.
pub fn error_in_success(kind: EngineKind, body: &[u8]) -> Option<Error> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let value = single(&value);
    is_error(value).then(|| {
        let status = stated_status(value).unwrap_or(StatusCode::BAD_GATEWAY);
        engine_error(kind, status, body)
    })
}

/// Returns the error of a stream's event whose name or data says that it is one; `None` for any other
/// event.
pub fn error_in_event(kind: EngineKind, name: &str, data: &str) -> Option<Error> {
    let value = serde_json::from_str::<Value>(data).ok();
    let value = value.as_ref().map(single);
    if name != "error" && !value.is_some_and(is_error) {
        return None;
    }
    let status = value
        .and_then(stated_status)
        .filter(StatusCode::is_client_error)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Some(engine_error(kind, status, data.as_bytes()))
}

/// Returns the error of an event without choices that does not call itself one: its words are known for
/// an error's, or it has a status. Words that are no JSON are read too, unless the event has another name.
pub fn error_in_words(kind: EngineKind, name: &str, data: &str) -> Option<Error> {
    let value = serde_json::from_str::<Value>(data);
    let message = match &value {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => message(value)?,
        Err(_) if matches!(name, "" | "message") && !data.starts_with('{') => data.to_owned(),
        _ => return None,
    };
    let value = value.unwrap_or_default();
    let lower = message.to_lowercase();
    let known =
        value["detail"].is_string() || stated_status(&value).is_some() || says_an_error(&lower);
    known.then(|| classify(kind, StatusCode::INTERNAL_SERVER_ERROR, &message, data))
}

/// Returns the error of a 200 whose body is no answer, with the words of the body where a person can
/// read them.
pub fn not_an_answer(kind: EngineKind, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let text = text.trim();
    let words = match serde_json::from_str::<Value>(text) {
        Ok(value) => message(&value),
        // Half a JSON, or a page for a browser.
        Err(_) if text.is_empty() || text.starts_with(['{', '[', '<']) => None,
        Err(_) => Some(text.to_owned()),
    };
    let error = match words {
        Some(message) => classify(kind, StatusCode::BAD_GATEWAY, &message, text),
        None => Error::new(
            ErrorKind::EngineError,
            if text.starts_with('<') {
                "the engine answered with a page for a browser instead of a chat completion"
            } else {
                "the engine's answer is not the JSON of a chat completion"
            },
        ),
    };
    if error.kind == ErrorKind::EngineError {
        return error.upstream(UpstreamError::BadJson);
    }
    error
}
