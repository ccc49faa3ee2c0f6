use bytes::Bytes;
use crucible_config::Config;
use http::HeaderMap;
use serde_json::value::RawValue;

use super::*;
use crate::dialect::{ClientDialect as _, anthropic::MESSAGES};

/// Reads a request with the built-in configuration.
pub(super) fn read(body: &str) -> Result<ChatRequest, Error> {
    read_by(body, &Config::builtin())
}

fn read_by(body: &str, config: &Config) -> Result<ChatRequest, Error> {
    MESSAGES.read(ClientRequest {
        headers: &HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        config,
    })
}

/// Returns the chat request that a request becomes.
#[track_caller]
pub(super) fn written(body: &str) -> String {
    let chat = read(body).unwrap();
    String::from_utf8(chat.body.to_vec()).unwrap()
}

/// The texts of the elements of a list of the chat request.
pub(super) fn elements(body: &str, name: &str) -> Vec<String> {
    let chat: std::collections::HashMap<String, &RawValue> = serde_json::from_str(body).unwrap();
    let Some(list) = chat.get(name) else {
        return Vec::new();
    };
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap();
    list.into_iter().map(|raw| raw.get().to_owned()).collect()
}

/// Bodies that are refused, with the kind of the error and the path that it names.
const BODIES: [(&str, ErrorKind, &str); 13] = [
    ("{", ErrorKind::InvalidJson, ""),
    ("[]", ErrorKind::InvalidJson, ""),
    ("{}", ErrorKind::MissingField, "messages"),
    (r#"{"messages":null}"#, ErrorKind::MissingField, "messages"),
    (r#"{"messages":"x"}"#, ErrorKind::InvalidType, "messages"),
    (
        r#"{"messages":[]}"#,
        ErrorKind::UnsupportedValue,
        "messages",
    ),
    (
        r#"{"messages":["x"]}"#,
        ErrorKind::InvalidType,
        "messages[0]",
    ),
    (
        r#"{"messages":[{"content":"x"}]}"#,
        ErrorKind::MissingField,
        "messages[0].role",
    ),
    (
        r#"{"messages":[{"role":7,"content":"x"}]}"#,
        ErrorKind::InvalidType,
        "messages[0].role",
    ),
    (
        r#"{"messages":[{"role":"tool","content":"x"}]}"#,
        ErrorKind::UnsupportedValue,
        "messages[0].role",
    ),
    (
        r#"{"messages":[{"role":"user"}]}"#,
        ErrorKind::MissingField,
        "messages[0].content",
    ),
    (
        r#"{"messages":[],"messages":[]}"#,
        ErrorKind::DuplicateKey,
        "messages",
    ),
    (
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}]}"#,
        ErrorKind::MissingField,
        "messages[0].content[0].id",
    ),
];

/// Contents of a user message; the path is that within the message.
const CONTENTS: [(&str, ErrorKind, &str); 17] = [
    ("7", ErrorKind::InvalidType, "content"),
    ("\"\"", ErrorKind::UnsupportedValue, "content"),
    ("[]", ErrorKind::UnsupportedValue, "content"),
    (
        r#"[{"type":"text","text":""}]"#,
        ErrorKind::UnsupportedValue,
        "content",
    ),
    (
        r#"[{"type":"video"}]"#,
        ErrorKind::UnsupportedValue,
        "content",
    ),
    (r#"["x"]"#, ErrorKind::InvalidType, "content[0]"),
    ("[{}]", ErrorKind::MissingField, "content[0].type"),
    (
        r#"[{"type":"text"}]"#,
        ErrorKind::MissingField,
        "content[0].text",
    ),
    (
        r#"[{"type":"text","text":7}]"#,
        ErrorKind::InvalidType,
        "content[0].text",
    ),
    (
        r#"[{"type":"image"}]"#,
        ErrorKind::MissingField,
        "content[0].source",
    ),
    (
        r#"[{"type":"image","source":{"type":"base64","data":"!!"}}]"#,
        ErrorKind::UnsupportedValue,
        "content[0].source.data",
    ),
    (
        r#"[{"type":"image","source":{"type":"base64"}}]"#,
        ErrorKind::MissingField,
        "content[0].source.data",
    ),
    (
        r#"[{"type":"image","source":{"type":"file","file_id":"f"}}]"#,
        ErrorKind::UnsupportedValue,
        "content[0].source",
    ),
    (
        r#"[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}}]"#,
        ErrorKind::UnsupportedValue,
        "content[0].source",
    ),
    (
        r#"[{"type":"search_result","title":7}]"#,
        ErrorKind::InvalidType,
        "content[0].title",
    ),
    (
        r#"[{"type":"tool_result","tool_use_id":"a"}]"#,
        ErrorKind::UnsupportedValue,
        "content[0].tool_use_id",
    ),
    (
        r#"[{"type":"tool_result"}]"#,
        ErrorKind::MissingField,
        "content[0].tool_use_id",
    ),
];

/// Members beside a good conversation. `LONG` stands for a long name.
const MEMBERS: [(&str, ErrorKind, &str); 21] = [
    (
        r#""system":"a","system":"b""#,
        ErrorKind::DuplicateKey,
        "system",
    ),
    (r#""system":7"#, ErrorKind::InvalidType, "system"),
    (r#""model":7"#, ErrorKind::InvalidType, "model"),
    (r#""stream":"yes""#, ErrorKind::InvalidType, "stream"),
    (r#""tools":{}"#, ErrorKind::InvalidType, "tools"),
    (r#""tools":[7]"#, ErrorKind::InvalidType, "tools[0]"),
    (
        r#""tools":[{"input_schema":{}}]"#,
        ErrorKind::MissingField,
        "tools[0].name",
    ),
    (
        r#""tools":[{"name":"f"}]"#,
        ErrorKind::MissingField,
        "tools[0].input_schema",
    ),
    (
        r#""tools":[{"name":"f","input_schema":[]}]"#,
        ErrorKind::InvalidType,
        "tools[0].input_schema",
    ),
    (
        r#""tools":[{"name":"","input_schema":{}}]"#,
        ErrorKind::UnsupportedValue,
        "tools[0].name",
    ),
    (
        r#""tools":[{"name":"LONG","input_schema":{}}]"#,
        ErrorKind::UnsupportedValue,
        "tools[0].name",
    ),
    (
        r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":"any""#,
        ErrorKind::InvalidType,
        "tool_choice",
    ),
    (
        r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"some"}"#,
        ErrorKind::UnsupportedValue,
        "tool_choice.type",
    ),
    (
        r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"g"}"#,
        ErrorKind::UnsupportedValue,
        "tool_choice.name",
    ),
    (r#""max_tokens":"5""#, ErrorKind::InvalidType, "max_tokens"),
    (
        r#""max_tokens":-1"#,
        ErrorKind::UnsupportedValue,
        "max_tokens",
    ),
    (
        r#""temperature":"hot""#,
        ErrorKind::InvalidType,
        "temperature",
    ),
    (
        r#""stop_sequences":"x""#,
        ErrorKind::InvalidType,
        "stop_sequences",
    ),
    (
        r#""stop_sequences":[7]"#,
        ErrorKind::InvalidType,
        "stop_sequences[0]",
    ),
    (r#""thinking":true"#, ErrorKind::InvalidType, "thinking"),
    (
        r#""output_config":{"format":{"type":"text"}}"#,
        ErrorKind::UnsupportedValue,
        "output_config.format.type",
    ),
];

#[track_caller]
fn refused(body: &str, kind: ErrorKind, param: &str) {
    let error = read(body).expect_err(body);
    let found = error.param.as_deref().unwrap_or_default();
    assert_eq!((error.kind, found), (kind, param), "{body}");
    assert!(error.message.contains(param), "{}", error.message);
}

#[test]
fn what_is_wrong_is_named_in_the_clients_spelling() {
    for (body, kind, param) in BODIES {
        refused(body, kind, param);
    }
    for (content, kind, param) in CONTENTS {
        let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        refused(&body, kind, &format!("messages[0].{param}"));
    }
    let long = "n".repeat(300);
    for (members, kind, param) in MEMBERS {
        let members = members.replace("LONG", &long);
        let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}}],{members}}}"#);
        refused(&body, kind, param);
    }
    let body = format!(
        r#"{{"messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"{long}"}}]}}]}}"#
    );
    refused(
        &body,
        ErrorKind::UnsupportedValue,
        "messages[0].content[0].name",
    );
}

#[test]
fn ten_thousand_tools_are_only_long() {
    let tool = |at| format!(r#"{{"name":"t{at}","input_schema":{{}}}}"#);
    let tools: Vec<String> = (0..10_000).map(tool).collect();
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"x"}}],"tools":[{}]}}"#,
        tools.join(",")
    );
    assert_eq!(elements(&written(&body), "tools").len(), 10_000);
}

#[test]
fn the_breakers_of_prompt_caches_can_be_kept() {
    let mut config = Config::builtin();
    config.prefix.billing_block = false;
    config.prefix.cache_control = false;
    let body = r#"{"system":[{"type":"text","text":"x-anthropic-billing-header: a"},{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}],"tools":[{"name":"f","input_schema":{},"cache_control":{"type":"ephemeral"}}]}"#;
    let chat = read_by(body, &config).unwrap();
    assert_eq!(
        chat.body,
        r#"{"messages":[{"role":"system","content":"x-anthropic-billing-header: a\n\ns"},{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{}},"cache_control":{"type":"ephemeral"}}]}"#
    );
    assert!(chat.notes.is_empty());
}

#[test]
fn a_note_names_a_few_types_however_many_there_are() {
    let block = |n: usize| format!(r#"{{"type":"odd_{n}"}}"#);
    let blocks: Vec<String> = (0..5000).map(block).collect();
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"x"}},{}]}}]}}"#,
        blocks.join(",")
    );
    let notes = read(&body).unwrap().notes;
    assert!(notes.len() == 1 && notes[0].len() < 200, "{notes:?}");
}

#[test]
fn no_member_stands_twice() {
    for name in [
        "model",
        "messages",
        "system",
        "tools",
        "stream",
        "max_tokens",
        "tool_choice",
    ] {
        let body = format!(r#"{{"{name}":null,"{name}":null,"messages":[]}}"#);
        let error = read(&body).unwrap_err();
        assert_eq!(error.kind, ErrorKind::DuplicateKey, "{name}: {error}");
        assert_eq!(error.param.as_deref(), Some(name));
    }
}
