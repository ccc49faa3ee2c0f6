//! Requests that are refused, and the field that the refusal names.

use crucible_config::checked::EngineKind;

use super::tests::read;
use crate::{
    dialect::engine::format_of,
    error::ErrorKind::{
        self, DuplicateKey, InvalidJson, InvalidType, MissingField, UnsupportedValue,
    },
};

/// Each path and body, the kind of the error, and its field.
const REFUSED: [(&str, &str, ErrorKind, Option<&str>); 33] = [
    ("/api/chat", "", InvalidJson, None),
    ("/api/chat", " \n", InvalidJson, None),
    ("/api/chat", "[]", InvalidJson, None),
    ("/api/chat", "{\"model\":\"m\"", InvalidJson, None),
    ("/api/chat", r#"{"model":7}"#, InvalidType, Some("model")),
    (
        "/api/chat",
        r#"{"model":"m","model":"n"}"#,
        DuplicateKey,
        Some("model"),
    ),
    (
        "/api/chat",
        r#"{"messages":{}}"#,
        InvalidType,
        Some("messages"),
    ),
    (
        "/api/chat",
        r#"{"messages":[7]}"#,
        InvalidType,
        Some("messages[0]"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"content":"x"}]}"#,
        MissingField,
        Some("messages[0].role"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":7}]}"#,
        InvalidType,
        Some("messages[0].role"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":7}]}"#,
        InvalidType,
        Some("messages[0].content"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","images":"x"}]}"#,
        InvalidType,
        Some("messages[0].images"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","images":[7]}]}"#,
        InvalidType,
        Some("messages[0].images[0]"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","images":["???"]}]}"#,
        UnsupportedValue,
        Some("messages[0].images[0]"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","images":["http://a/b.png"]}]}"#,
        UnsupportedValue,
        Some("messages[0].images[0]"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"assistant","tool_calls":{}}]}"#,
        InvalidType,
        Some("messages[0].tool_calls"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"assistant","tool_calls":[{}]}]}"#,
        MissingField,
        Some("messages[0].tool_calls[0].function"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]}"#,
        MissingField,
        Some("messages[0].tool_calls[0].function.name"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"tools":{}}"#,
        InvalidType,
        Some("tools"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"stream":"yes"}"#,
        InvalidType,
        Some("stream"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"think":7}"#,
        InvalidType,
        Some("think"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"format":"xml"}"#,
        UnsupportedValue,
        Some("format"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"format":[]}"#,
        InvalidType,
        Some("format"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"options":[]}"#,
        InvalidType,
        Some("options"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"options":{"num_ctx":"4096"}}"#,
        InvalidType,
        Some("options.num_ctx"),
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"options":{"stop":7}}"#,
        InvalidType,
        Some("options.stop"),
    ),
    (
        "/api/generate",
        r#"{"prompt":7}"#,
        InvalidType,
        Some("prompt"),
    ),
    (
        "/api/generate",
        r#"{"prompt":"x","raw":true,"system":"s"}"#,
        UnsupportedValue,
        Some("raw"),
    ),
    (
        "/api/chat",
        r#"{"messages":[],"tools":[null,5]}"#,
        InvalidType,
        Some("tools[1]"),
    ),
    (
        "/api/chat",
        r#"{"messages":[],"top_logprobs":[1]}"#,
        InvalidType,
        Some("top_logprobs"),
    ),
    (
        "/api/embed",
        r#"{"input":[1]}"#,
        InvalidType,
        Some("input[0]"),
    ),
    ("/api/embed", r#"{"input":{}}"#, InvalidType, Some("input")),
    (
        "/api/embeddings",
        r#"{"prompt":[]}"#,
        InvalidType,
        Some("prompt"),
    ),
];

#[test]
fn what_is_wrong_is_named_as_the_client_wrote_it() {
    for (path, body, kind, param) in REFUSED {
        let error = read(path, body).err();
        let found = error
            .as_ref()
            .map(|error| (error.kind, error.param.as_deref()));
        assert_eq!(found, Some((kind, param)), "{path} {body}");
        let error = error.unwrap();
        if let Some(param) = param {
            assert!(error.message.contains(param), "{error}");
        }
    }
}

#[test]
fn images_beside_a_raw_prompt_are_for_an_ollama_alone() {
    for member in [r#""raw":true"#, r#""suffix":"y""#] {
        let body = format!(r#"{{"model":"m","prompt":"x",{member},"images":["iVBORw0KGgo="]}}"#);
        let chat = read("/api/generate", &body).unwrap();
        assert!(
            format_of(EngineKind::Ollama).check(&chat).is_ok(),
            "{member}"
        );
        for kind in [
            EngineKind::Lmstudio,
            EngineKind::Llamacpp,
            EngineKind::Openai,
        ] {
            let refused = format_of(kind).check(&chat).unwrap_err();
            assert_eq!(
                refused.param.as_deref(),
                Some("images"),
                "{member} {kind:?}"
            );
        }
    }
}
