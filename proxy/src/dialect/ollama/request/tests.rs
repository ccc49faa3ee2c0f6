use bytes::Bytes;
use crucible_config::{
    Config,
    checked::{EngineKind, RequestDefaults},
};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use crate::{
    dialect::{
        ClientRequest,
        chat::ChatRequest,
        engine::{EngineTarget, format_of},
        of_path,
    },
    error::{Error, ErrorKind},
};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

pub(super) fn read(path: &str, body: &str) -> Result<ChatRequest, Error> {
    of_path(path).unwrap().read(ClientRequest {
        headers: &HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        config: &Config::builtin(),
    })
}

/// The chat request, and all notes of a translation.
fn written(path: &str, body: &str) -> (String, Vec<String>) {
    let chat = read(path, body).unwrap();
    let lost = &chat.native.as_ref().unwrap().lost;
    let notes = chat.notes.iter().chain(lost).map(ToString::to_string);
    (
        String::from_utf8(chat.body.to_vec()).unwrap(),
        notes.collect(),
    )
}

#[test]
fn requests_become_those_of_the_chat_format() {
    const STREAM: &str = r#","stream":true,"stream_options":{"include_usage":true}}"#;
    for (path, body, chat) in [
        (
            "/api/chat",
            r#"{"model":"m","messages":[{"role":"USER","content":"h\u0069"}]}"#,
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"h\u0069"}}]{STREAM}"#),
        ),
        (
            "/api/chat",
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":false,"tools":[],"think":false,"format":""}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"think":false}"#.to_owned(),
        ),
        (
            "/api/chat",
            r#"{"model":"m","stream":false,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1.0,"a":{}}}}],"format":{"type":"object","z":1e0},"think":"high","logprobs":true,"top_logprobs":3}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1.0,"a":{}}}}],"think":"high","response_format":{"type":"json_schema","json_schema":{"name":"output","schema":{"type":"object","z":1e0},"strict":true}},"logprobs":true,"top_logprobs":3}"#.to_owned(),
        ),
        (
            "/api/chat",
            r#"{"stream":false,"messages":[{"role":"user","content":"x"}],"format":"json","options":{"num_ctx":8192,"num_predict":-1,"temperature":0,"top_p":0.50,"top_k":4,"min_p":0.1,"seed":7,"stop":["a"],"repeat_penalty":1.1,"frequency_penalty":null}}"#,
            r#"{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"},"temperature":0,"top_p":0.50,"top_k":4,"min_p":0.1,"seed":7,"repeat_penalty":1.1,"num_ctx":8192,"max_tokens":-1,"stop":["a"]}"#.to_owned(),
        ),
        (
            "/api/generate",
            r#"{"model":"m","prompt":"hi","system":"s","stream":false}"#,
            r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}]}"#.to_owned(),
        ),
        (
            "/api/generate",
            r#"{"model":"m","prompt":"def f(","suffix":"return 1","stream":false,"options":{"num_predict":8}}"#,
            r#"{"model":"m","max_tokens":8,"prompt":"def f(","suffix":"return 1"}"#.to_owned(),
        ),
        (
            "/api/generate",
            r#"{"model":"m","prompt":"<s>x","raw":true}"#,
            format!(r#"{{"model":"m","prompt":"<s>x"{STREAM}"#),
        ),
        (
            "/api/embed",
            r#"{"model":"m","input":["a","b"],"dimensions":8}"#,
            r#"{"model":"m","input":["a","b"],"encoding_format":"float","dimensions":8}"#.to_owned(),
        ),
        (
            "/api/embeddings",
            r#"{"model":"m","prompt":"a"}"#,
            r#"{"model":"m","input":"a"}"#.to_owned(),
        ),
    ] {
        let (found, notes) = written(path, body);
        assert_eq!(found, chat, "{path} {body}");
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn a_tool_loop_keeps_ids_or_gets_those_of_its_places() {
    let body = r#"{"model":"m","stream":false,"messages":[
        {"role":"user","content":"x"},
        {"role":"assistant","thinking":"hm","tool_calls":[{"function":{"index":0,"name":"f","arguments":{"b":1.0,"a":2}}},{"id":"own","function":{"name":"g","arguments":{}}}]},
        {"role":"tool","tool_name":"g","content":"2"},
        {"role":"tool","content":"1"},
        {"role":"tool","tool_call_id":"own","content":"3"}]}"#;
    let (chat, _) = written("/api/chat", body);
    let chat: Value = serde_json::from_str(&chat).unwrap();
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    assert_eq!(
        chat["messages"],
        json!([
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
                call("call_1_0", "f", "{\"b\":1.0,\"a\":2}"), call("own", "g", "{}")]},
            {"role": "tool", "content": "2", "tool_call_id": "own", "name": "g"},
            {"role": "tool", "content": "1", "tool_call_id": "call_1_0", "name": "f"},
            {"role": "tool", "content": "3", "tool_call_id": "own"},
        ])
    );
}

#[test]
fn many_options_cost_no_more_each_than_a_few() {
    let began = std::time::Instant::now();
    let options: Vec<String> = (0..100_000).map(|at| format!("\"k{at}\":1")).collect();
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"options":{{{}}}}}"#,
        options.join(",")
    );
    let (_, notes) = written("/api/chat", &body);
    let first = "k0, k1, k2, k3, k4, k5, k6, k7 and 99992 more";
    assert!(notes[0].ends_with(first), "{}", notes[0]);
    // Unoptimised and on a busy machine; anything quadratic takes minutes.
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn images_become_data_urls() {
    let body = format!(
        r#"{{"model":"m","stream":false,"messages":[{{"role":"user","content":"see","images":["{PNG}"]}}]}}"#
    );
    let chat = read("/api/chat", &body).unwrap();
    assert!(chat.peek.has_images());
    let text = String::from_utf8_lossy(&chat.body);
    let url =
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{PNG}"}}}}"#);
    assert!(
        text.contains(&format!(r#"[{{"type":"text","text":"see"}},{url}]"#)),
        "{text}"
    );
    let body = format!(r#"{{"model":"m","prompt":"see","images":["{PNG}"]}}"#);
    let (text, _) = written("/api/generate", &body);
    assert!(text.contains(&url), "{text}");
}

#[test]
fn what_is_lost_or_decided_here_is_said() {
    for (path, members, part) in [
        (
            "/api/chat",
            r#""keep_alive":"5m""#,
            "keep_alive is Crucible's",
        ),
        (
            "/api/chat",
            r#""options":{"num_thread":4}"#,
            "options.num_thread is Crucible's",
        ),
        (
            "/api/chat",
            r#""options":{"numa":true,"x\ny":1}"#,
            "are dropped: numa, xy",
        ),
        ("/api/chat", r#""truncate":true"#, "truncate is dropped"),
        ("/api/chat", r#""shift":true"#, "shift is Crucible's"),
        (
            "/api/chat",
            r#""_debug_render_only":true"#,
            "_debug_render_only",
        ),
        ("/api/generate", r#""context":[1,2]"#, "context is dropped"),
        (
            "/api/generate",
            r#""template":"{{ .Prompt }}""#,
            "template is dropped",
        ),
        (
            "/api/generate",
            r#""suffix":"b","system":"s""#,
            "system is dropped",
        ),
        ("/api/embed", r#""truncate":true"#, "truncate is dropped"),
    ] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"prompt":"x","input":"x",{members}}}"#
        );
        let (_, notes) = written(path, &body);
        assert!(
            notes.iter().any(|note| note.contains(part)),
            "{part}: {notes:?}"
        );
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}

#[test]
fn an_engines_finding_about_the_chat_request_is_told_in_the_clients_words() {
    for (path, param, own) in [
        ("/api/chat", "max_tokens", "options.num_predict"),
        ("/api/chat", "response_format.json_schema.schema", "format"),
        (
            "/api/chat",
            "messages[3].content[1].image_url.url",
            "messages[3].images[0]",
        ),
        (
            "/api/generate",
            "messages[0].content[1].image_url.url",
            "images",
        ),
        ("/api/embeddings", "input", "prompt"),
        ("/api/embed", "input[1]", "input[1]"),
        ("/api/chat", "messages[1].content", "messages[1].content"),
    ] {
        let body =
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"prompt":"x","input":"x"}"#;
        let writer = read(path, body).unwrap().writer.unwrap();
        let error =
            Error::new(ErrorKind::InvalidType, format!("`{param}` must be another")).param(param);
        let told = writer.respelled(error);
        assert_eq!(told.param.as_deref(), Some(own), "{path}");
        assert_eq!(told.message, format!("`{own}` must be another"), "{path}");
    }
}

#[test]
fn requests_without_a_prompt_have_their_answer() {
    for (path, body, answer) in [
        (
            "/api/chat",
            r#"{"model":"a\"b"}"#,
            r#""message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}"#,
        ),
        (
            "/api/chat",
            r#"{"model":"m","messages":[],"keep_alive":0}"#,
            r#""done_reason":"unload"}"#,
        ),
        (
            "/api/generate",
            r#"{"model":"m"}"#,
            r#""response":"","done":true,"done_reason":"load"}"#,
        ),
        (
            "/api/embed",
            r#"{"model":"m","input":[]}"#,
            r#"{"model":"m","embeddings":[]}"#,
        ),
        ("/api/embeddings", r#"{"model":"m"}"#, r#"{"embedding":[]}"#),
    ] {
        let chat = read(path, body).unwrap();
        let wish = chat.native.as_ref().unwrap().residency.as_ref().unwrap();
        let text = std::str::from_utf8(&wish.answer).unwrap();
        assert!(text.ends_with(answer), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        assert_eq!(wish.loads, !text.contains("unload"));
    }
    assert!(
        read(
            "/api/chat",
            r#"{"messages":[{"role":"user","content":"x"}],"keep_alive":0}"#
        )
        .unwrap()
        .native
        .unwrap()
        .residency
        .is_none()
    );
}

/// The elements of a member of the body that an engine of a kind gets.
fn sent(kind: EngineKind, messages: &[Value]) -> Vec<String> {
    let body = json!({"model": "m", "messages": messages, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": 2}}}]});
    let chat = read("/api/chat", &body.to_string()).unwrap();
    let (tuple, defaults) = (LoadTuple::default(), RequestDefaults::default());
    let target = EngineTarget {
        context: None,
        model: "m",
        instance: "m",
        tuple: &tuple,
        defaults: &defaults,
        prefix: Config::builtin().prefix,
        capabilities: &Capabilities::default,
        event_limit: 1 << 20,
    };
    let Ok(call) = format_of(kind).write(&chat, &target) else {
        panic!("{kind:?} refuses {body}");
    };
    let body: std::collections::HashMap<String, &RawValue> =
        serde_json::from_slice(&call.body).unwrap();
    let list = |name: &str| -> Vec<String> {
        let list: Vec<&RawValue> = serde_json::from_str(body[name].get()).unwrap();
        list.iter().map(|raw| raw.get().to_owned()).collect()
    };
    let mut all = list("tools");
    all.extend(list("messages"));
    all
}

/// A message of one of the kinds that clients send.
fn message(kind: u8, number: usize) -> Value {
    match kind {
        0 => json!({"role": "user", "content": format!("u{number}")}),
        1 => json!({"role": "assistant", "content": "a", "thinking": "t"}),
        2 => {
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"n": number}}}, {"function": {"name": "g", "arguments": {}}}]})
        }
        3 => json!({"role": "tool", "tool_name": "f", "content": "r"}),
        4 => json!({"role": "tool", "content": "r"}),
        5 => json!({"role": "system", "content": "later"}),
        _ => json!({"role": "user", "content": "see", "images": [PNG]}),
    }
}

proptest! {
    /// The prompt of a turn begins with that of the turn before, byte for byte, on every kind of engine.
    #[test]
    fn a_conversation_only_grows_at_its_end(kinds in prop::collection::vec(0_u8..7, 2..12), cut in 1_usize..11) {
        let mut messages = vec![message(0, 0)];
        messages.extend(kinds.iter().enumerate().map(|(at, kind)| message(*kind, at)));
        let cut = cut.min(messages.len() - 1);
        for kind in EngineKind::ALL {
            let (longer, shorter) = (sent(kind, &messages), sent(kind, &messages[..cut]));
            prop_assert_eq!(&longer[..shorter.len()], &shorter[..], "{:?}", kind);
        }
    }
}
