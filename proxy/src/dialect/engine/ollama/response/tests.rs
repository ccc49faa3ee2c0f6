use crucible_config::checked::EngineKind;
use http::StatusCode;
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    dialect::chat::EngineTranscoder,
    dialect::engine::{engine_error::engine_error, ollama::response::*},
    error::ErrorKind,
};

pub(super) const CAP: usize = 1 << 20;
const TALK: &str = concat!(
    "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n",
    "\r\n",
    "{\"message\":{\"content\":\"a\\u003cé\\\"\"},\"logprobs\":[{\"token\":\"a\",\"logprob\":-1}],\"done\":false}\n",
    "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{\"z\":1,\"a\":\"b\"}}},{\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":{}}}]},\"done\":false}\n",
    "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":4}\n",
);

pub(super) fn run<T: EngineTranscoder>(
    mut transcode: T,
    frames: &[&[u8]],
) -> (String, Result<StreamProgress, Error>) {
    let mut out = VecDeque::new();
    let mut result = Ok(StreamProgress::default());
    for frame in frames {
        result = transcode.push(Bytes::copy_from_slice(frame), &mut out);
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = transcode.finish(&mut out);
    }
    let bytes: Vec<u8> = out.into_iter().flatten().collect();
    (mask(&String::from_utf8(bytes).unwrap()), result)
}

/// Takes the random id out.
fn mask(text: &str) -> String {
    let mut parts = text.split("chatcmpl-");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("ID");
        out.push_str(&part[32..]);
    }
    out
}

fn stream(text: &str, usage: bool) -> (String, Result<StreamProgress, Error>) {
    run(OllamaStream::new("m", 7, usage, CAP), &[text.as_bytes()])
}

#[test]
fn a_stream_is_role_thinking_content_calls_finish_usage_done() {
    let (out, result) = stream(TALK, true);
    result.unwrap();
    let head = r#"data: {"id":"ID","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp_ollama","choices":["#;
    let expected = [
        r#"{"index":0,"delta":{"role":"assistant","reasoning_content":"hm"},"finish_reason":null}]}"#,
        r#"{"index":0,"delta":{"content":"a<é\""},"logprobs":{"content":[{"token":"a","logprob":-1}]},"finish_reason":null}]}"#,
        r#"{"index":0,"delta":{"content":"","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"z\":1,\"a\":\"b\"}"}},{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]}"#,
        r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
    ];
    let mut text = String::new();
    for rest in expected {
        text.push_str(head);
        text.push_str(rest);
        text.push_str("\n\n");
    }
    text.push_str("data: [DONE]\n\n");
    assert_eq!(out, text);
    let (without, _) = stream(TALK, false);
    assert!(!without.contains("usage"));
}

#[test]
fn an_aggregate_holds_the_whole_answer() {
    let (out, result) = run(OllamaAggregate::new("m", 7, CAP), &[TALK.as_bytes()]);
    result.unwrap();
    let answer: Value = serde_json::from_str(&out).unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "a<é\"");
    assert_eq!(choice["message"]["reasoning_content"], "hm");
    assert_eq!(choice["message"]["tool_calls"][1]["function"]["name"], "g");
    assert_eq!(choice["logprobs"]["content"][0]["token"], "a");
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(answer["usage"]["total_tokens"], 7);
}

#[test]
fn every_bad_end_is_an_error() {
    let first = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";
    for (tail, kind) in [
        ("", ErrorKind::EngineCut),
        ("{\"mess", ErrorKind::EngineCut),
        ("{\"error\":\"boom\"}\n", ErrorKind::EngineError),
        ("{\"error\":\"boom\"}", ErrorKind::EngineError),
        (
            "{\"error\":\"request (9 tokens) exceeds the available context size (4 tokens)\"}\n",
            ErrorKind::ContextLengthExceeded,
        ),
        ("<html>\n", ErrorKind::EngineError),
        (
            "{\"done\":true,\"done_reason\":\"load\"}\n",
            ErrorKind::EngineError,
        ),
    ] {
        let (out, result) = stream(&format!("{first}{tail}"), true);
        assert_eq!(result.unwrap_err().kind, kind, "{tail}");
        assert!(out.contains("\"content\":\"a\"") && !out.contains("[DONE]"));
    }
}

#[test]
fn length_stays_and_a_long_line_ends_the_stream() {
    let done = "{\"message\":{\"content\":\"a\"},\"done\":true,\"done_reason\":\"length\"}";
    assert!(
        stream(done, false)
            .0
            .contains("\"finish_reason\":\"length\"")
    );
    let (_, result) = run(OllamaStream::new("m", 7, false, 10), &[done.as_bytes()]);
    assert_eq!(result.unwrap_err().kind, ErrorKind::EngineError);
}

proptest! {
    #[test]
    fn output_does_not_depend_on_frame_boundaries(mut cuts in prop::collection::vec(0..TALK.len(), 0..12)) {
        cuts.sort_unstable();
        let mut frames = Vec::new();
        let mut at = 0;
        for cut in cuts {
            frames.push(&TALK.as_bytes()[at..cut]);
            at = cut;
        }
        frames.push(&TALK.as_bytes()[at..]);
        let (out, result) = run(OllamaStream::new("m", 7, true, CAP), &frames);
        prop_assert!(result.is_ok());
        prop_assert_eq!(out, stream(TALK, true).0);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut out = VecDeque::new();
        let mut stream = OllamaStream::new("m", 7, true, CAP);
        let pushed = stream.push(bytes.into(), &mut out);
        prop_assert!(pushed.is_err() || !pushed.unwrap().complete);
        prop_assert!(stream.finish(&mut out).is_err());
    }
}

// Recorded from Ollama 0.33.0-rc2 with SmolLM2 135M.
const RECORDED: &str = include_str!("../testdata/stop.ndjson");
const RECORDED_LOGPROBS: &str = include_str!("../testdata/logprobs.ndjson");
const RECORDED_OVERFLOW: &str = include_str!("../testdata/overflow.json");

fn events(out: &str) -> Vec<Value> {
    out.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[test]
fn a_recorded_stream_keeps_its_text_reason_and_counts() {
    let (out, result) = stream(RECORDED, true);
    result.unwrap();
    let events = events(&out);
    let usage = &events[events.len() - 1]["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&19.into(), &7.into())
    );
    let text: String = events
        .iter()
        .filter_map(|e| e["choices"][0]["delta"]["content"].as_str())
        .collect();
    let recorded: String = RECORDED
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|item| item["message"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, recorded);
    let end = &events[events.len() - 2]["choices"][0];
    assert_eq!(end["finish_reason"], "stop");
    assert_eq!(end["delta"], serde_json::json!({}));
    assert!(out.ends_with("data: [DONE]\n\n"));
}

#[test]
fn recorded_logprobs_stay_beside_their_text() {
    let (out, result) = stream(RECORDED_LOGPROBS, false);
    result.unwrap();
    let mut compared = 0;
    for event in events(&out) {
        let choice = &event["choices"][0];
        if let Some(told) = choice["logprobs"]["content"].as_array() {
            assert_eq!(told[0]["token"], choice["delta"]["content"], "{event}");
            assert_eq!(told[0]["top_logprobs"][0]["token"], told[0]["token"]);
            compared += 1;
        }
    }
    assert_eq!(compared, RECORDED_LOGPROBS.lines().count() - 1);
}

#[test]
fn a_recorded_overflow_is_lifted_out_of_its_string() {
    let body = RECORDED_OVERFLOW.as_bytes();
    let error = engine_error(EngineKind::Ollama, StatusCode::BAD_REQUEST, body);
    assert_eq!(error.kind, ErrorKind::ContextLengthExceeded);
    assert!(
        error.message.starts_with("request (3010 tokens)"),
        "{}",
        error.message
    );
}
