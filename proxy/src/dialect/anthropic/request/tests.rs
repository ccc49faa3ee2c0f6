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
const BODIES: [(&str, Kind, &str); 13] = [
    ("{", Kind::InvalidJson, ""),
    ("[]", Kind::InvalidJson, ""),
    ("{}", Kind::MissingField, "messages"),
    (r#"{"messages":null}"#, Kind::MissingField, "messages"),
    (r#"{"messages":"x"}"#, Kind::InvalidType, "messages"),
    (r#"{"messages":[]}"#, Kind::UnsupportedValue, "messages"),
    (r#"{"messages":["x"]}"#, Kind::InvalidType, "messages[0]"),
    (
        r#"{"messages":[{"content":"x"}]}"#,
        Kind::MissingField,
        "messages[0].role",
    ),
    (
        r#"{"messages":[{"role":7,"content":"x"}]}"#,
        Kind::InvalidType,
        "messages[0].role",
    ),
    (
        r#"{"messages":[{"role":"tool","content":"x"}]}"#,
        Kind::UnsupportedValue,
        "messages[0].role",
    ),
    (
        r#"{"messages":[{"role":"user"}]}"#,
        Kind::MissingField,
        "messages[0].content",
    ),
    (
        r#"{"messages":[],"messages":[]}"#,
        Kind::DuplicateKey,
        "messages",
    ),
    (
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}]}"#,
        Kind::MissingField,
        "messages[0].content[0].id",
    ),
];

/// Contents of a user message; the path is that within the message.
const CONTENTS: [(&str, Kind, &str); 17] = [
    ("7", Kind::InvalidType, "content"),
    ("\"\"", Kind::UnsupportedValue, "content"),
    ("[]", Kind::UnsupportedValue, "content"),
    (
        r#"[{"type":"text","text":""}]"#,
        Kind::UnsupportedValue,
        "content",
    ),
    (r#"[{"type":"video"}]"#, Kind::UnsupportedValue, "content"),
    (r#"["x"]"#, Kind::InvalidType, "content[0]"),
    ("[{}]", Kind::MissingField, "content[0].type"),
    (
        r#"[{"type":"text"}]"#,
        Kind::MissingField,
        "content[0].text",
    ),
    (
        r#"[{"type":"text","text":7}]"#,
        Kind::InvalidType,
        "content[0].text",
    ),
    (
        r#"[{"type":"image"}]"#,
        Kind::MissingField,
        "content[0].source",
    ),
    (
        r#"[{"type":"image","source":{"type":"base64","data":"!!"}}]"#,
        Kind::UnsupportedValue,
        "content[0].source.data",
    ),
    (
        r#"[{"type":"image","source":{"type":"base64"}}]"#,
        Kind::MissingField,
        "content[0].source.data",
    ),
    (
        r#"[{"type":"image","source":{"type":"file","file_id":"f"}}]"#,
        Kind::UnsupportedValue,
        "content[0].source",
    ),
    (
        r#"[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}}]"#,
        Kind::UnsupportedValue,
        "content[0].source",
    ),
    (
        r#"[{"type":"search_result","title":7}]"#,
        Kind::InvalidType,
        "content[0].title",
    ),
    (
        r#"[{"type":"tool_result","tool_use_id":"a"}]"#,
        Kind::UnsupportedValue,
        "content[0].tool_use_id",
    ),
    (
        r#"[{"type":"tool_result"}]"#,
        Kind::MissingField,
        "content[0].tool_use_id",
    ),
];

/// Members beside a good conversation. `LONG` stands for a long name.
const MEMBERS: [(&str, Kind, &str); 21] = [
    (r#""system":"a","system":"b""#, Kind::DuplicateKey, "system"),
    (r#""system":7"#, Kind::InvalidType, "system"),
    (r#""model":7"#, Kind::InvalidType, "model"),
    (r#""stream":"yes""#, Kind::InvalidType, "stream"),
    (r#""tools":{}"#, Kind::InvalidType, "tools"),
    (r#""tools":[7]"#, Kind::InvalidType, "tools[0]"),
    (
        r#""tools":[{"input_schema":{}}]"#,
        Kind::MissingField,
        "tools[0].name",
    ),
    (
        r#""tools":[{"name":"f"}]"#,
        Kind::MissingField,
        "tools[0].input_schema",
    ),
    (
        r#""tools":[{"name":"f","input_schema":[]}]"#,
        Kind::InvalidType,
        "tools[0].input_schema",
    ),
    (
        r#""tools":[{"name":"","input_schema":{}}]"#,
        Kind::UnsupportedValue,
        "tools[0].name",
    ),
    (
        r#""tools":[{"name":"LONG","input_schema":{}}]"#,
        Kind::UnsupportedValue,
        "tools[0].name",
    ),
    (
        r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":"any""#,
        Kind::InvalidType,
        "tool_choice",
    ),
    (
        r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"some"}"#,
        Kind::UnsupportedValue,
        "tool_choice.type",
    ),
    (
        r#""tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"g"}"#,
        Kind::UnsupportedValue,
        "tool_choice.name",
    ),
    (r#""max_tokens":"5""#, Kind::InvalidType, "max_tokens"),
    (r#""max_tokens":-1"#, Kind::UnsupportedValue, "max_tokens"),
    (r#""temperature":"hot""#, Kind::InvalidType, "temperature"),
    (
        r#""stop_sequences":"x""#,
        Kind::InvalidType,
        "stop_sequences",
    ),
    (
        r#""stop_sequences":[7]"#,
        Kind::InvalidType,
        "stop_sequences[0]",
    ),
    (r#""thinking":true"#, Kind::InvalidType, "thinking"),
    (
        r#""output_config":{"format":{"type":"text"}}"#,
        Kind::UnsupportedValue,
        "output_config.format.type",
    ),
];

#[track_caller]
fn refused(body: &str, kind: Kind, param: &str) {
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
    refused(&body, Kind::UnsupportedValue, "messages[0].content[0].name");
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
