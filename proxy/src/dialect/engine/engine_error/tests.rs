use super::*;
use crate::error::ErrorKind;

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
            assert_eq!(
                error.kind,
                ErrorKind::ContextLengthExceeded,
                "{status} {body}"
            );
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
            assert_eq!(error.kind, ErrorKind::ContextLengthExceeded, "{body}");
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
        assert_eq!(
            (error.kind, error.overflow),
            (ErrorKind::EngineRejected, None)
        );
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
                assert_eq!(
                    error.kind,
                    ErrorKind::EngineRejected,
                    "{kind:?} {status} {body}"
                );
                assert_eq!(error.status().as_u16(), told, "{kind:?} {status} {body}");
                assert_eq!(error.param.as_deref(), Some("messages"));
                assert!(error.message.contains(words), "{}", error.message);
            }
            let inside = error_in_success(kind, body.as_bytes()).unwrap();
            assert_eq!(
                (inside.kind, inside.status().as_u16()),
                (ErrorKind::EngineRejected, 400),
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
    assert_eq!(found.unwrap().kind, ErrorKind::EngineError);
    assert!(error_in_success(EngineKind::Lmstudio, br#"{"choices":[],"error":null}"#).is_none());
}

#[test]
fn an_error_inside_a_success_keeps_its_meaning() {
    for (body, kind) in [
        (
            r#"{"error":{"type":"invalid_request_error","message":"bad grammar"}}"#,
            ErrorKind::EngineRejected,
        ),
        (
            r#"{"error":{"code":400,"message":"bad"}}"#,
            ErrorKind::EngineRejected,
        ),
        (
            r#"{"error":{"code":"400","message":"bad"}}"#,
            ErrorKind::EngineRejected,
        ),
        (
            r#"{"object":"error","message":"bad","code":400}"#,
            ErrorKind::EngineRejected,
        ),
        (
            r#"{"error":{"message":"the model broke"}}"#,
            ErrorKind::EngineError,
        ),
        (
            r#"{"error":{"type":"internal_error","message":"x"}}"#,
            ErrorKind::EngineError,
        ),
        (r#"{"error":"Failed to load model"}"#, ErrorKind::LoadFailed),
        (
            r#"{"error":"Context size has been exceeded."}"#,
            ErrorKind::ContextLengthExceeded,
        ),
        (
            r#"{"object":"error","message":"This model's maximum context length is 4 tokens"}"#,
            ErrorKind::ContextLengthExceeded,
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
        (ErrorKind::EngineError, "it broke")
    );
}

#[test]
fn what_is_no_answer_tells_what_it_says() {
    let none = "the engine's answer is not the JSON of a chat completion";
    let page = "the engine answered with a page for a browser instead of a chat completion";
    for (body, kind, message) in [
        ("it broke\n", ErrorKind::EngineError, "it broke"),
        (r#""it broke""#, ErrorKind::EngineError, "it broke"),
        (
            r#"{"detail":"it broke"}"#,
            ErrorKind::EngineError,
            "it broke",
        ),
        (
            r#""n_keep >= n_ctx""#,
            ErrorKind::ContextLengthExceeded,
            "n_keep >= n_ctx",
        ),
        (
            "Failed to load model",
            ErrorKind::LoadFailed,
            "Failed to load model",
        ),
        ("<!doctype html><title>x", ErrorKind::EngineError, page),
        (r#"{"choices":[{"#, ErrorKind::EngineError, none),
        (r#"{"x":1}"#, ErrorKind::EngineError, none),
        ("[]", ErrorKind::EngineError, none),
        ("", ErrorKind::EngineError, none),
    ] {
        let error = not_an_answer(EngineKind::Lmstudio, body.as_bytes());
        assert_eq!((error.kind, &*error.message), (kind, message), "{body}");
    }
}
