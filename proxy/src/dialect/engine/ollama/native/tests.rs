use std::collections::VecDeque;

use bytes::Bytes;
use crucible_config::{
    Config,
    checked::{DefaultSource, FilledValue, RequestDefaults},
};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};
use http::HeaderMap;

use super::*;
use crate::dialect::{ClientRequest, chat::EngineTranscoder, engine::format_of, of_path};

fn call_with(path: &str, body: &str, capabilities: Capabilities, as_loaded: bool) -> EngineCall {
    let chat = of_path(path)
        .unwrap()
        .read(ClientRequest {
            headers: &HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            config: &Config::builtin(),
        })
        .unwrap();
    let tuple = LoadTuple {
        context: Some(4096),
        threads: Some(4),
        as_loaded,
        ..LoadTuple::default()
    };
    let value = |value| {
        Some(FilledValue {
            value,
            from: DefaultSource::Profile,
        })
    };
    let filled = chat.peek.raw(&chat.body, "temperature").is_none();
    let defaults = RequestDefaults {
        temperature: value(0.3).filter(|_| filled),
        top_p: value(0.8),
        ..RequestDefaults::default()
    };
    let target = EngineTarget {
        model: "lib:latest",
        instance: "lib:latest",
        context: Some(4096),
        tuple: &tuple,
        defaults: &defaults,
        prefix: Config::builtin().prefix,
        capabilities: &|| capabilities,
        event_limit: 1 << 20,
    };
    let Ok(call) = format_of(EngineKind::Ollama).write(&chat, &target) else {
        panic!("refused: {body}");
    };
    assert!(call.is_clients);
    assert_eq!(call.path, path);
    call
}

fn sent(path: &str, body: &str) -> (String, Vec<String>) {
    let call = call_with(path, body, Capabilities::default(), false);
    (String::from_utf8(call.body.to_vec()).unwrap(), call.notes)
}

#[test]
fn a_body_keeps_its_members_but_for_those_that_are_crucibles() {
    for (path, body, expected) in [
        (
            "/api/chat",
            r#"{"messages":[{"role":"user","content":"h\u0069","x":1.0}], "model":"m","unknown":[1e0],"keep_alive":"5m","stream":false,"truncate":true,"shift":true,"options":{"num_ctx":99,"num_thread":9,"mirostat":1,"temperature":0.10,"seed":null}}"#,
            r#"{"model":"lib:latest","messages":[{"role":"user","content":"h\u0069","x":1.0}],"unknown":[1e0],"options":{"mirostat":1,"temperature":0.10,"num_ctx":4096,"num_thread":4,"top_p":0.8},"stream":true,"shift":false,"truncate":false}"#,
        ),
        (
            "/api/generate",
            r#"{"model":"m","prompt":"x","template":"t","context":[1],"raw":false,"format":{"b":1,"a":2},"options":{"num_predict":-2,"stop":["","a"]}}"#,
            r#"{"model":"lib:latest","prompt":"x","template":"t","context":[1],"raw":false,"format":{"b":1,"a":2},"options":{"num_predict":-2,"stop":["a"],"num_ctx":4096,"num_thread":4,"temperature":0.3,"top_p":0.8},"stream":true,"shift":false,"truncate":false}"#,
        ),
        (
            "/api/generate",
            r#"{"model":"m","prompt":"x","raw":true,"think":false,"options":{"stop":"a"}}"#,
            r#"{"model":"lib:latest","prompt":"x","raw":true,"think":false,"options":{"stop":["a"],"num_ctx":4096,"num_thread":4,"temperature":0.3,"top_p":0.8},"stream":true,"shift":false,"truncate":false}"#,
        ),
        (
            "/api/embed",
            r#"{"model":"m","input":["a","b"],"dimensions":8,"keep_alive":0}"#,
            r#"{"model":"lib:latest","input":["a","b"],"dimensions":8,"options":{"num_ctx":4096,"num_thread":4},"truncate":false}"#,
        ),
        (
            "/api/embeddings",
            r#"{"model":"m","prompt":"a"}"#,
            r#"{"model":"lib:latest","prompt":"a","options":{"num_ctx":4096,"num_thread":4}}"#,
        ),
    ] {
        assert_eq!(sent(path, body).0, expected, "{path}");
    }
}

#[test]
fn a_cut_that_an_embedding_asks_for_is_made_and_said() {
    let (body, notes) = sent("/api/embed", r#"{"model":"m","input":"a","truncate":true}"#);
    assert!(body.contains(r#""truncate":true"#), "{body}");
    assert!(notes[0].contains("is cut by Ollama"), "{notes:?}");
    let (body, notes) = sent(
        "/api/embed",
        r#"{"model":"m","input":"a","truncate":false}"#,
    );
    assert!(
        body.contains(r#""truncate":false"#) && notes.is_empty(),
        "{body}"
    );
}

#[test]
fn thinking_is_what_the_model_can() {
    let body = |think: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"think":{think}}}"#)
    };
    for (can, levels, think, expected) in [
        (
            Some(true),
            Some(true),
            "\"high\"",
            Some(r#""think":"high""#),
        ),
        (Some(true), Some(false), "\"high\"", Some(r#""think":true"#)),
        (Some(true), None, "false", Some(r#""think":false"#)),
        (Some(false), None, "true", None),
        (None, None, "true", Some(r#""think":true"#)),
    ] {
        let capabilities = Capabilities {
            thinking: can,
            thinking_levels: levels,
            ..Capabilities::default()
        };
        let call = call_with("/api/chat", &body(think), capabilities, false);
        let text = String::from_utf8(call.body.to_vec()).unwrap();
        match expected {
            Some(expected) => assert!(text.contains(expected), "{text}"),
            None => assert!(!text.contains("think") && !call.notes.is_empty(), "{text}"),
        }
    }
}

#[test]
fn later_system_messages_and_models_as_they_are_loaded_are_as_in_every_format() {
    let body = r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":"x","images":[]},{"role":"System","content":"b"},{"role":"user","content":"y"}]}"#;
    let (text, notes) = sent("/api/chat", body);
    assert!(
        text.contains(r#"[{"role":"system","content":"a"},{"role":"user","content":"x","images":[]},{"role":"user","content":"<system-reminder>\nb\n</system-reminder>"},{"role":"user","content":"y"}]"#),
        "{text}"
    );
    assert_eq!(notes.len(), 1, "{notes:?}");
    let call = call_with("/api/chat", body, Capabilities::default(), true);
    let text = String::from_utf8(call.body.to_vec()).unwrap();
    assert!(!text.contains("shift"), "{text}");
}

/// What a client that asked for `asked` gets of an answer, and the progress at its end.
fn answered(path: &str, members: &str, lines: &str) -> (String, bool) {
    let body = format!(
        r#"{{"model":"auto","messages":[{{"role":"user","content":"x"}}],"prompt":"x"{members}}}"#
    );
    let call = call_with(path, &body, Capabilities::default(), false);
    let (AnswerShape::Stream(mut of) | AnswerShape::Aggregate(mut of)) = call.answer else {
        panic!("no stream");
    };
    let mut out = VecDeque::new();
    let pushed = of.push(Bytes::copy_from_slice(lines.as_bytes()), &mut out);
    let ended = pushed.and_then(|_| EngineTranscoder::finish(&mut *of, &mut out));
    let sent = out.into_iter().flatten().collect();
    (String::from_utf8(sent).unwrap(), ended.is_ok())
}

const LINES: &str = concat!(
    r#"{"model":"lib:latest","created_at":"T1","message":{"role":"assistant","content":"","thinking":"h"},"done":false}"#,
    "\n",
    r#"{"model":"lib:latest","created_at":"T2","message":{"role":"assistant","content":"\u003ca"},"done":false,"logprobs":[{"token":"a"}]}"#,
    "\n",
    r#"{"created_at":"T3","message":{"role":"assistant","content":"b","tool_calls":[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"b":1.0,"a":2}}}]},"model":"lib:latest","done":false}"#,
    "\n",
    r#"{"model":"lib:latest","created_at":"T4","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":9,"eval_count":3}"#,
    "\n"
);

#[test]
fn lines_pass_with_the_clients_name_of_the_model() {
    let (sent, is_whole) = answered("/api/chat", "", LINES);
    assert!(is_whole);
    assert_eq!(sent, LINES.replace("lib:latest", "auto"));
    // An error line and an end without `done` are errors.
    let cut: String = LINES.split_inclusive('\n').take(2).collect();
    let (sent, is_whole) = answered("/api/chat", "", &cut);
    assert!(!is_whole && sent.lines().count() == 2, "{sent}");
    let (sent, is_whole) = answered("/api/chat", "", &format!("{cut}{{\"error\":\"gone\"}}\n"));
    assert!(!is_whole && !sent.contains("gone"), "{sent}");
}

#[test]
fn lines_become_one_document_for_a_client_that_wants_one() {
    let (sent, is_whole) = answered("/api/chat", r#","stream":false"#, LINES);
    assert!(is_whole);
    assert_eq!(
        sent,
        r#"{"model":"auto","created_at":"T4","message":{"role":"assistant","content":"<ab","thinking":"h","tool_calls":[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"b":1.0,"a":2}}}]},"done":true,"done_reason":"stop","total_duration":9,"eval_count":3,"logprobs":[{"token":"a"}]}"#
    );
    let lines = concat!(
        r#"{"model":"lib:latest","created_at":"T","response":"","thinking":"h","done":false}"#,
        "\n",
        r#"{"model":"lib:latest","created_at":"T","response":"a","done":false}"#,
        "\n",
        r#"{"model":"lib:latest","created_at":"T","response":"","done":true,"done_reason":"length","context":[1,2]}"#
    );
    let (sent, _) = answered("/api/generate", r#","stream":false"#, lines);
    assert_eq!(
        sent,
        r#"{"model":"auto","created_at":"T","response":"a","thinking":"h","done":true,"done_reason":"length","context":[1,2]}"#
    );
}

#[test]
fn vectors_pass_and_a_text_that_is_too_long_is_named() {
    let call = call_with(
        "/api/embed",
        r#"{"model":"auto","input":["a","bbbbbbbbbbbbbbbbbbbbbbbbbb"]}"#,
        Capabilities::default(),
        false,
    );
    let AnswerShape::Document(reader) = call.answer else {
        panic!("no document");
    };
    let error = Error::new(ErrorKind::ContextLengthExceeded, "the input length exceeds");
    assert_eq!(reader.refused(error).param.as_deref(), Some("input[1]"));
    let document = r#"{"model":"lib:latest","embeddings":[[0.10]],"prompt_eval_count":3}"#;
    let read = reader
        .read(&Bytes::from_static(document.as_bytes()))
        .unwrap();
    assert_eq!(
        read.body,
        r#"{"model":"auto","embeddings":[[0.10]],"prompt_eval_count":3}"#
    );
    assert_eq!(read.usage.unwrap().prompt, 3);
}
