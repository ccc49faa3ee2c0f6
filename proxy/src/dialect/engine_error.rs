//! Errors of engines, lifted from their many shapes into one.
//!
//! Bare strings, JSON inside strings, an error inside a 200, a 400 for the engine's own fault, a 500
//! for the client's.

mod asked;

use crucible_config::checked::EngineKind;
use http::StatusCode;
use serde_json::Value;

use crate::error::{Error, Kind, Overflow};

/// Texts of a prompt that did not fit, lower-cased (LM Studio 0.3/0.4, llama.cpp, Ollama 0.33).
const OVERFLOW: &[&str] = &[
    "exceed_context_size",
    "exceeds the available context size",
    "cannot truncate prompt with n_keep",
    "longer than the context length",
    "exceeds the context length",
    "exceeds context length",
    "exceeds the context window",
    "greater than the context length",
    "context overflow",
    "context length exceeded",
    "context_length_exceeded",
];

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

/// Texts that come as a 400 although the engine is at fault (LM Studio 0.3/0.4).
const OWN_FAULT: &[&str] = &[
    "engine protocol",
    "fetch failed",
    "code:500",
    "code: 500",
    "\"code\":500",
];

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
    let error = value.get("error").filter(|error| !error.is_null())?;
    let message = lift(&value, 0).unwrap_or_default();
    let status = error
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok())
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::BAD_GATEWAY);
    Some(classify(
        kind,
        status,
        &message,
        &String::from_utf8_lossy(body),
    ))
}

/// The innermost message; JSON inside a string is opened a few levels deep.
fn lift(value: &Value, level: u8) -> Option<String> {
    match value {
        Value::String(text) => {
            let inner = (level < 4 && text.trim_start().starts_with('{'))
                .then(|| serde_json::from_str::<Value>(text).ok())
                .flatten()
                .and_then(|inner| lift(&inner, level + 1));
            Some(inner.unwrap_or_else(|| text.clone()))
        }
        Value::Object(map) => ["error", "message", "detail", "title"]
            .into_iter()
            .filter_map(|key| map.get(key))
            .filter(|value| !value.is_null())
            .find_map(|value| lift(value, level + 1)),
        _ => None,
    }
}

/// Tokens of a prompt that did not fit: llama.cpp's words (LM Studio and Ollama pass them on), then
/// LM Studio's own. Escapes of a JSON in a string may stand between name and number.
fn counted(lower: &str) -> Option<u64> {
    ["n_prompt_tokens", "request (", "n_keep ("]
        .into_iter()
        .find_map(|name| {
            let (_, rest) = lower.split_once(name)?;
            let rest = rest.trim_start_matches(['\\', '"', ':', ' ', '=']);
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            rest[..digits].parse().ok()
        })
}

fn classify(kind: EngineKind, status: StatusCode, message: &str, raw: &str) -> Error {
    let lower = format!("{message}\n{raw}").to_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    let said = if message.is_empty() {
        format!("the engine answered {} without a text", status.as_u16())
    } else {
        message.chars().take(2000).collect()
    };
    if has(OVERFLOW) {
        let mut error = Error::new(Kind::ContextLengthExceeded, said).param("messages");
        error.overflow = Some(Overflow {
            counted: counted(&lower),
        });
        return error;
    }
    // Before the rest: these errors quote what the client wrote.
    if !matches!(status.as_u16(), 401 | 403 | 429 | 503)
        && let Some(asked) = asked::asked(&lower)
    {
        let text = format!("{}: {said}", asked.says);
        let mut error = Error::new(Kind::EngineRejected, text);
        error.param = asked.param.map(str::to_owned);
        error.engine_status = Some(status).filter(StatusCode::is_client_error);
        return error;
    }
    let unknown = lower.contains("not found") || lower.contains("not_found");
    if unknown && lower.contains("model") && status.is_client_error() {
        return Error::new(Kind::ModelNotFound, said).param("model");
    }
    if has(LOAD) {
        return Error::new(Kind::LoadFailed, said).retry_after(5);
    }
    match status.as_u16() {
        429 => Error::new(Kind::QueueFull, said).retry_after(1),
        // Ollama's "server busy": its queue is full, which is not this client's fault.
        503 => Error::new(Kind::NoEngine, said).retry_after(if kind == EngineKind::Ollama {
            2
        } else {
            5
        }),
        // The engine's token comes from the configuration: a client cannot mend it.
        401 | 403 => Error::new(
            Kind::EngineError,
            format!("the engine refused Crucible's access: {said}"),
        ),
        400..=499 if !has(OWN_FAULT) => {
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
    fn the_tokens_of_a_prompt_that_did_not_fit_are_read() {
        let llama = r#"{"error":{"code":400,"message":"request (4200 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":4201,"n_ctx":4096}}"#;
        let inside = serde_json::json!({ "error": llama }).to_string();
        for (body, tokens) in [
            (llama, Some(4201)),
            (&*inside, Some(4201)),
            (
                r#"{"error":"request (9 tokens) exceeds the available context size (4 tokens)"}"#,
                Some(9),
            ),
            (
                r#"{"error":"Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)"}"#,
                Some(5000),
            ),
            (r#"{"error":"Context length exceeded"}"#, None),
        ] {
            let error = engine_error(EngineKind::Ollama, StatusCode::BAD_REQUEST, body.as_bytes());
            let overflow = error.overflow.unwrap();
            assert_eq!(overflow.counted, tokens, "{body}");
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
}
