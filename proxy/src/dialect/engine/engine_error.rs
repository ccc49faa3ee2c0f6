//! Errors of engines, lifted from their many shapes into one.
//!
//! Bare strings, JSON inside strings, an error inside a 200, a 400 for the engine's own fault, a 500
//! for the client's.

mod asked;
mod overflow;
pub(crate) mod overflow_lengths;
mod own_fault;

use crucible_config::checked::EngineKind;
use http::StatusCode;
use serde_json::Value;

use crate::{
    dialect::engine::engine_error::own_fault::OwnFault,
    error::{Error, Kind, UpstreamError},
};

/// Texts of a load that failed, lower-cased.
const LOAD: &[&str] = &[
    "model_load_failed",
    "failed to load model",
    "error loading model",
    "unable to load model",
    "llama-server process has terminated",
    "timed out waiting for llama-server",
    "llama runner process has terminated",
    "requires more system memory",
    "no models loaded",
];

/// Keys of what an error says, in the order of their weight: `FastAPI`'s are `detail` and `msg`.
const MESSAGES: &[&str] = &["error", "errors", "message", "detail", "msg", "title"];
/// JSON in JSON is opened so deep.
const LEVELS: u8 = 6;

/// Turns an engine's error answer into Crucible's. A `Retry-After` is the caller's to add.
pub fn engine_error(kind: EngineKind, status: StatusCode, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|value| lift(&value, 0))
        .unwrap_or_else(|| text.trim().to_owned());
    classify(kind, status, &message, &text)
}

/// The error that hides in a 200 body, if one does.
pub fn error_in_success(kind: EngineKind, body: &[u8]) -> Option<Error> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let value = only(&value);
    is_error(value).then(|| {
        let status = told_status(value).unwrap_or(StatusCode::BAD_GATEWAY);
        engine_error(kind, status, body)
    })
}

/// The error that is an event of a stream, if it is one: its name says so, or its data.
pub fn error_in_event(kind: EngineKind, name: &str, data: &str) -> Option<Error> {
    let value = serde_json::from_str::<Value>(data).ok();
    let value = value.as_ref().map(only);
    if name != "error" && !value.is_some_and(is_error) {
        return None;
    }
    let status = value
        .and_then(told_status)
        .filter(StatusCode::is_client_error)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Some(engine_error(kind, status, data.as_bytes()))
}

/// The error of an event that has no choices and calls itself nothing: its words are known for one,
/// or it has a status. Words that are no JSON are read too, unless the event has another name.
pub fn error_in_words(kind: EngineKind, name: &str, data: &str) -> Option<Error> {
    let value = serde_json::from_str::<Value>(data);
    let message = match &value {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => lift(value, 0)?,
        Err(_) if matches!(name, "" | "message") && !data.starts_with('{') => data.to_owned(),
        _ => return None,
    };
    let value = value.unwrap_or_default();
    let lower = message.to_lowercase();
    let known = value["detail"].is_string()
        || told_status(&value).is_some()
        || overflow::overflow(&lower).is_some()
        || OwnFault::of(&lower).is_some()
        || LOAD.iter().any(|text| lower.contains(text));
    known.then(|| classify(kind, StatusCode::INTERNAL_SERVER_ERROR, &message, data))
}

/// The error of a 200 whose body is no answer: what it says, where it says something to a person.
pub fn not_an_answer(kind: EngineKind, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let text = text.trim();
    let told = match serde_json::from_str::<Value>(text) {
        Ok(value) => lift(&value, 0),
        // Half a JSON, or a page for a browser.
        Err(_) if text.is_empty() || text.starts_with(['{', '[', '<']) => None,
        Err(_) => Some(text.to_owned()),
    };
    let error = match told {
        Some(message) => classify(kind, StatusCode::BAD_GATEWAY, &message, text),
        None => Error::new(
            Kind::EngineError,
            if text.starts_with('<') {
                "the engine answered with a page for a browser instead of a chat completion"
            } else {
                "the engine's answer is not the JSON of a chat completion"
            },
        ),
    };
    if error.kind == Kind::EngineError {
        return error.upstream(UpstreamError::BadJson);
    }
    error
}

/// What a list of one holds: Google's API puts its errors into one.
fn only(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => value,
    }
}

/// `error` says something, or the object calls itself an error (vLLM before 0.10). An empty one beside
/// choices says that there is none.
fn is_error(value: &Value) -> bool {
    let answers = || value["choices"].as_array().is_some_and(|c| !c.is_empty());
    let says = match value.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) if text.is_empty() => !answers(),
        Some(Value::Object(map)) if map.is_empty() => !answers(),
        Some(_) => true,
    };
    says || value["object"] == "error"
}

/// The status that an error in a 200 tells of itself: a number, or a type that means the request.
fn told_status(value: &Value) -> Option<StatusCode> {
    let inner = &value["error"];
    let number = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        let status = StatusCode::from_u16(u16::try_from(number).ok()?).ok()?;
        (status.is_client_error() || status.is_server_error()).then_some(status)
    };
    let numbers = [
        &inner["code"],
        &inner["status"],
        &value["code"],
        &value["status"],
    ];
    if let Some(status) = numbers.into_iter().find_map(number) {
        return Some(status);
    }
    let kinds = [&inner["type"], &value["type"]];
    kinds
        .iter()
        .filter_map(|kind| kind.as_str())
        .any(|kind| {
            matches!(
                kind,
                "invalid_request_error" | "invalid_request" | "BadRequestError"
            )
        })
        .then_some(StatusCode::BAD_REQUEST)
}

/// The innermost message; JSON inside a string is opened a few levels deep. A list is what its first
/// member says, and LM Studio's `cause` stands beside a title that says little.
fn lift(value: &Value, level: u8) -> Option<String> {
    if level > LEVELS {
        return None;
    }
    match value {
        Value::String(text) => {
            let inner = text
                .trim_start()
                .starts_with(['{', '['])
                .then(|| serde_json::from_str::<Value>(text).ok())
                .flatten()
                .and_then(|inner| lift(&inner, level + 1));
            Some(inner.unwrap_or_else(|| text.clone()))
        }
        Value::Object(map) => {
            let said = |key: &&str| lift(map.get(*key)?, level + 1);
            let full = |text: &String| !text.is_empty();
            let told = MESSAGES.iter().find_map(|key| said(key).filter(full));
            let told = told.or_else(|| MESSAGES.iter().find_map(said));
            let cause = said(&"cause").filter(full);
            match (told, cause) {
                (Some(told), Some(cause)) if !told.contains(&cause) => {
                    Some(format!("{told}: {cause}"))
                }
                (told, cause) => told.or(cause),
            }
        }
        Value::Array(list) => list.iter().find_map(|value| lift(value, level + 1)),
        _ => None,
    }
}

fn classify(kind: EngineKind, status: StatusCode, message: &str, raw: &str) -> Error {
    let lower = format!("{message}\n{raw}").to_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    let said = if message.is_empty() {
        format!("the engine answered {} without a text", status.as_u16())
    } else {
        message.chars().take(2000).collect()
    };
    let asked = (!matches!(status.as_u16(), 401 | 403 | 429 | 503))
        .then(|| asked::asked(&lower))
        .flatten();
    // Errors of a request quote what the client wrote, which comes after their own words.
    let quoted = |at: usize| asked.as_ref().is_some_and(|(_, asked_at)| *asked_at < at);
    if let Some((overflow, at)) = overflow::overflow(&lower)
        && !quoted(at)
    {
        let mut error = Error::new(Kind::ContextLengthExceeded, said).param("messages");
        error.overflow = Some(overflow);
        return error;
    }
    // Before the rest, for the same reason.
    if let Some((asked, _)) = asked {
        let text = format!("{}: {said}", asked.says);
        let mut error = Error::new(Kind::EngineRejected, text);
        error.param = asked.param.map(str::to_owned);
        error.engine_status = Some(status).filter(StatusCode::is_client_error);
        return error;
    }
    let unknown = has(&["not found", "not_found", "does not exist"]);
    let fault = OwnFault::of(&lower);
    if unknown && lower.contains("model") && status.is_client_error() {
        // Only models that the engine lists are asked for.
        return Error::new(Kind::ModelNotFound, said)
            .param("model")
            .not_loaded();
    }
    if has(LOAD) {
        // Only models that were loaded are asked for.
        return Error::new(Kind::LoadFailed, said)
            .retry_after(5)
            .not_loaded();
    }
    if fault == Some(OwnFault::NotLoaded) {
        return Error::new(Kind::EngineError, said).not_loaded();
    }
    match status.as_u16() {
        // Its own limit, whoever met it.
        429 => {
            let mut error = Error::new(Kind::QueueFull, said).retry_after(1);
            error.spared = true;
            error
        }
        // Ollama's "server busy": its queue is full, which is not this client's fault.
        503 => Error::new(Kind::NoEngine, said).retry_after(if kind == EngineKind::Ollama {
            2
        } else {
            5
        }),
        // The engine's token comes from the configuration: a client cannot mend it.
        401 | 403 => Error::new(
            Kind::EngineError,
            match kind.profile().token_variable {
                Some(name) => format!(
                    "the engine refused Crucible's access: {said}; put its token into the \
                     environment variable {name} of Crucible, or into another one that api_key_env \
                     of this engine names"
                ),
                None => format!(
                    "the engine refused Crucible's access: {said}; put its token into an \
                     environment variable of Crucible, and the variable's name into api_key_env of \
                     this engine"
                ),
            },
        ),
        400..=499 if fault.is_none() => {
            let mut error = Error::new(Kind::EngineRejected, said);
            error.engine_status = Some(status);
            error
        }
        // "Not implemented": llama.cpp's word for what it was not started for.
        501 => Error::new(Kind::EngineRejected, said),
        _ => Error::new(Kind::EngineError, said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_does_not_fit_is_told_by_its_words_in_every_form() {
        let words = "request (4200 tokens) exceeds the available context size (4096 tokens)";
        let object = serde_json::json!({ "error": { "message": words, "code": 500 } }).to_string();
        for status in [200, 400, 404, 413, 422, 500, 502] {
            for body in [
                words.to_owned(),
                serde_json::json!(words).to_string(),
                serde_json::json!({ "error": words }).to_string(),
                serde_json::json!({ "error": object }).to_string(),
                serde_json::json!({ "message": words }).to_string(),
                object.clone(),
            ] {
                let status = StatusCode::from_u16(status).unwrap();
                let error = engine_error(EngineKind::Ollama, status, body.as_bytes());
                assert_eq!(error.kind, Kind::ContextLengthExceeded, "{status} {body}");
                assert_eq!(
                    error.overflow.unwrap().counted,
                    Some(4200),
                    "{status} {body}"
                );
            }
        }
    }

    /// A 200 too: each is known for an error, or is no answer.
    #[test]
    fn lists_causes_and_other_names_keep_the_meaning_and_the_text() {
        let words = "Cannot truncate prompt with n_keep (4200) >= n_ctx (4096)";
        for body in [
            serde_json::json!([{ "error": { "message": words } }]),
            serde_json::json!([words]),
            serde_json::json!({ "detail": [{ "loc": ["body"], "msg": words }] }),
            serde_json::json!({ "errors": [{ "message": words }] }),
            serde_json::json!({ "error": { "title": "Error in channel", "cause": words } }),
            serde_json::json!({ "error": { "message": "", "cause": words } }),
            serde_json::json!({ "error": format!("[{{\"error\":\"{words}\"}}]") }),
        ] {
            let body = body.to_string();
            let in_success = error_in_success(EngineKind::Lmstudio, body.as_bytes());
            for error in [
                engine_error(
                    EngineKind::Lmstudio,
                    StatusCode::BAD_REQUEST,
                    body.as_bytes(),
                ),
                not_an_answer(EngineKind::Lmstudio, body.as_bytes()),
                error_in_words(EngineKind::Lmstudio, "", &body).unwrap(),
                error_in_event(EngineKind::Lmstudio, "error", &body).unwrap(),
            ]
            .into_iter()
            .chain(in_success)
            {
                assert_eq!(error.kind, Kind::ContextLengthExceeded, "{body}");
                assert_eq!(error.overflow.unwrap().counted, Some(4200), "{body}");
                assert!(error.message.ends_with(words), "{body}: {error}");
            }
        }
        for passes in [
            r#"{"type":"ping"}"#,
            r#"{"message":"loading"}"#,
            r#"{"message":{"role":"assistant","content":"Channel Error"}}"#,
            r#""Channel Error""#,
            "[]",
        ] {
            assert!(
                error_in_words(EngineKind::Lmstudio, "", passes).is_none(),
                "{passes}"
            );
        }
    }

    #[test]
    fn an_empty_error_beside_choices_is_none() {
        for (error, found) in [
            ("null", false),
            ("false", false),
            (r#""""#, false),
            ("{}", false),
            (r#""x""#, true),
            ("true", true),
        ] {
            let body = format!(r#"{{"choices":[{{}}],"error":{error}}}"#);
            let inside = error_in_success(EngineKind::Openai, body.as_bytes());
            assert_eq!(inside.is_some(), found, "{body}");
            let event = error_in_event(EngineKind::Openai, "message", &body);
            assert_eq!(event.is_some(), found, "{body}");
        }
        for body in [r#"{"error":""}"#, r#"{"error":{}}"#] {
            assert!(error_in_success(EngineKind::Openai, body.as_bytes()).is_some());
        }
    }

    /// It was taken for a prompt that does not fit, and the model was loaded anew for it.
    #[test]
    fn what_an_error_quotes_of_the_request_is_not_what_it_says() {
        let quoted = "Failed to parse messages: Missing 'role' in message: {\"content\":\"vLLM says: \
                      this model's maximum context length is 4096 tokens, out of memory\"}";
        for status in [400, 500] {
            let status = StatusCode::from_u16(status).unwrap();
            let body = serde_json::json!({ "error": { "message": quoted } }).to_string();
            let error = engine_error(EngineKind::Llamacpp, status, body.as_bytes());
            assert_eq!((error.kind, error.overflow), (Kind::EngineRejected, None));
        }
    }

    #[test]
    fn shapes_and_texts_are_lifted() {
        use EngineKind::{Llamacpp, Lmstudio, Ollama};
        for (kind, status, body, code, message) in [
            (
                Lmstudio,
                400,
                r#"{"error":"Engine protocol predict request failed: fetch failed"}"#,
                "engine_error",
                "Engine protocol predict request failed: fetch failed",
            ),
            (
                Lmstudio,
                400,
                r#"{"error":"request (9 tokens) exceeds the available context size (4 tokens)"}"#,
                "context_length_exceeded",
                "request (9 tokens) exceeds the available context size (4 tokens)",
            ),
            (
                Lmstudio,
                400,
                r#"{"error":{"message":"bad grammar","type":"x"}}"#,
                "engine_rejected",
                "bad grammar",
            ),
            (
                Llamacpp,
                400,
                r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}"#,
                "context_length_exceeded",
                "too long",
            ),
            (
                Ollama,
                400,
                r#"{"error":"{\"error\":{\"message\":\"inner\"}}"}"#,
                "engine_rejected",
                "inner",
            ),
            (
                Ollama,
                404,
                r#"{"error":"model 'x' not found"}"#,
                "model_not_found",
                "model 'x' not found",
            ),
            (
                Ollama,
                503,
                r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
                "no_engine",
                "server busy, please try again.  maximum pending requests exceeded",
            ),
            (
                Ollama,
                500,
                r#"{"error":"llama-server process has terminated: killed"}"#,
                "load_failed",
                "llama-server process has terminated: killed",
            ),
            (Ollama, 500, "oops", "engine_error", "oops"),
        ] {
            let error = engine_error(kind, StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!(
                (error.kind.code(), &*error.message),
                (code, message),
                "{body}"
            );
        }
    }

    /// The same words with every status, on every kind of engine, and inside a success.
    #[test]
    fn what_a_request_asks_for_is_its_own_fault_wherever_that_is_told() {
        use EngineKind::{Llamacpp, Lmstudio, Ollama, Openai};
        let words = "Conversation roles must alternate user/assistant/user/assistant/...";
        let bodies = [
            serde_json::json!({ "error": words }),
            serde_json::json!({ "error": { "message": words, "code": 500, "type": "server_error" } }),
            serde_json::json!({ "error": format!("{{\"error\":{{\"message\":\"{words}\"}}}}") }),
            serde_json::json!({ "error": format!("Engine protocol predict failed: {{code:500}} {words}") }),
        ];
        for kind in [Llamacpp, Lmstudio, Ollama, Openai] {
            for body in &bodies {
                let body = body.to_string();
                for (status, told) in [(400, 400), (422, 422), (500, 400), (502, 400), (501, 400)] {
                    let status = StatusCode::from_u16(status).unwrap();
                    let error = engine_error(kind, status, body.as_bytes());
                    assert_eq!(error.kind, Kind::EngineRejected, "{kind:?} {status} {body}");
                    assert_eq!(error.status().as_u16(), told, "{kind:?} {status} {body}");
                    assert_eq!(error.param.as_deref(), Some("messages"));
                    assert!(error.message.contains(words), "{}", error.message);
                }
                let inside = error_in_success(kind, body.as_bytes()).unwrap();
                assert_eq!(
                    (inside.kind, inside.status().as_u16()),
                    (Kind::EngineRejected, 400),
                    "{body}"
                );
            }
        }
        // An engine that is busy or refuses access says that of itself.
        for (status, code) in [
            (503, "no_engine"),
            (429, "queue_full"),
            (401, "engine_error"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = engine_error(Openai, status, bodies[0].to_string().as_bytes());
            assert_eq!(error.kind.code(), code);
        }
    }

    #[test]
    fn an_error_inside_a_success_is_found() {
        let found = error_in_success(
            EngineKind::Lmstudio,
            br#"{"error":"Unexpected endpoint or method. (POST /x)"}"#,
        );
        assert_eq!(found.unwrap().kind, Kind::EngineError);
        assert!(
            error_in_success(EngineKind::Lmstudio, br#"{"choices":[],"error":null}"#).is_none()
        );
    }

    #[test]
    fn an_error_inside_a_success_keeps_its_meaning() {
        for (body, kind) in [
            (
                r#"{"error":{"type":"invalid_request_error","message":"bad grammar"}}"#,
                Kind::EngineRejected,
            ),
            (
                r#"{"error":{"code":400,"message":"bad"}}"#,
                Kind::EngineRejected,
            ),
            (
                r#"{"error":{"code":"400","message":"bad"}}"#,
                Kind::EngineRejected,
            ),
            (
                r#"{"object":"error","message":"bad","code":400}"#,
                Kind::EngineRejected,
            ),
            (
                r#"{"error":{"message":"the model broke"}}"#,
                Kind::EngineError,
            ),
            (
                r#"{"error":{"type":"internal_error","message":"x"}}"#,
                Kind::EngineError,
            ),
            (r#"{"error":"Failed to load model"}"#, Kind::LoadFailed),
            (
                r#"{"error":"Context size has been exceeded."}"#,
                Kind::ContextLengthExceeded,
            ),
            (
                r#"{"object":"error","message":"This model's maximum context length is 4 tokens"}"#,
                Kind::ContextLengthExceeded,
            ),
        ] {
            let error = error_in_success(EngineKind::Openai, body.as_bytes());
            assert_eq!(error.unwrap().kind, kind, "{body}");
            let event = error_in_event(EngineKind::Openai, "message", body);
            assert_eq!(event.unwrap().kind, kind, "{body}");
        }
        assert!(error_in_event(EngineKind::Openai, "message", r#"{"object":"x"}"#).is_none());
        let named = error_in_event(EngineKind::Openai, "error", "it broke").unwrap();
        assert_eq!(
            (named.kind, &*named.message),
            (Kind::EngineError, "it broke")
        );
    }

    #[test]
    fn what_is_no_answer_tells_what_it_says() {
        let none = "the engine's answer is not the JSON of a chat completion";
        let page = "the engine answered with a page for a browser instead of a chat completion";
        for (body, kind, message) in [
            ("it broke\n", Kind::EngineError, "it broke"),
            (r#""it broke""#, Kind::EngineError, "it broke"),
            (r#"{"detail":"it broke"}"#, Kind::EngineError, "it broke"),
            (
                r#""n_keep >= n_ctx""#,
                Kind::ContextLengthExceeded,
                "n_keep >= n_ctx",
            ),
            (
                "Failed to load model",
                Kind::LoadFailed,
                "Failed to load model",
            ),
            ("<!doctype html><title>x", Kind::EngineError, page),
            (r#"{"choices":[{"#, Kind::EngineError, none),
            (r#"{"x":1}"#, Kind::EngineError, none),
            ("[]", Kind::EngineError, none),
            ("", Kind::EngineError, none),
        ] {
            let error = not_an_answer(EngineKind::Lmstudio, body.as_bytes());
            assert_eq!((error.kind, &*error.message), (kind, message), "{body}");
        }
    }
}
