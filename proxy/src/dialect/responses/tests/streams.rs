//! Streams: chat events and the events that they become.

mod odd;

use std::{collections::VecDeque, fmt::Write as _};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{normal, read_from, writer};
use crate::{
    dialect::chat::{AnswerWriter, EngineTranscoder, chained},
    dialect::engine::openai::passthrough::ChatPassthrough,
    error::{Error, ErrorKind},
};

const TOOLS: &str = r#"{"model":"m","stream":true,"input":"u","tools":[{"type":"function","name":"f"},{"type":"namespace","name":"ns","tools":[{"type":"function","name":"g"}]},{"type":"custom","name":"patch"}]}"#;

fn delta(delta: &Value) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "model": "engine", "choices": [
        {"index": 0, "delta": delta, "finish_reason": null}]});
    format!("data: {chunk}\n\n")
}

fn end(reason: &str) -> String {
    let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    let usage = json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 7}, "completion_tokens_details": {"reasoning_tokens": 2}}});
    format!("data: {chunk}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn engine(writer: &dyn AnswerWriter) -> Box<dyn EngineTranscoder> {
    let engine = ChatPassthrough::new(
        crucible_config::checked::EngineKind::Llamacpp,
        false,
        1 << 20,
    );
    chained(Box::new(engine), Some(writer.transcoder()))
}

/// Passes frames through the whole chain; returns the text that the client gets.
fn passed(writer: &dyn AnswerWriter, frames: &[&[u8]]) -> (String, Option<Error>) {
    let mut chain = engine(writer);
    let mut out = VecDeque::new();
    let mut failed = None;
    for frame in frames {
        if let Err(error) = chain.push(Bytes::copy_from_slice(frame), &mut out) {
            failed = Some(error);
            break;
        }
    }
    let failed = failed.or_else(|| chain.finish(&mut out).err());
    if let Some(error) = &failed {
        out.extend(chain.fail(error));
    }
    let bytes: Vec<u8> = out.into_iter().flatten().collect();
    (String::from_utf8(bytes).expect("UTF-8"), failed)
}

/// Returns the events of a stream; each has a name, which is its type, and the next number.
fn events(text: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for (at, event) in text.split_terminator("\n\n").enumerate() {
        let (name, data) = event.split_once('\n').expect("two lines");
        let data = data.strip_prefix("data: ").expect("data");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        assert_eq!(data["sequence_number"], at, "{text}");
        events.push(data);
    }
    events
}

/// Returns each event in a few words.
fn told(events: &[Value]) -> String {
    let mut told = String::new();
    for event in events {
        let name = event["type"]
            .as_str()
            .unwrap()
            .trim_start_matches("response.");
        let _ = write!(told, "{name}");
        if let Some(at) = event.get("output_index") {
            let _ = write!(told, " {at}");
        }
        for member in ["delta", "text", "arguments", "input", "refusal"] {
            if let Some(text) = event.get(member) {
                let _ = write!(told, " {member} {text}");
            }
        }
        if let Some(item) = event.get("item") {
            let _ = write!(
                told,
                " {} {}",
                item["type"].as_str().unwrap(),
                item["status"].as_str().unwrap()
            );
        }
        if let Some(response) = event.get("response") {
            let _ = write!(told, " {}", response["status"].as_str().unwrap());
        }
        told.push('\n');
    }
    told
}

#[test]
fn a_text_is_told_as_openai_tells_it() {
    let body = r#"{"model":"m","stream":true,"input":"u","metadata":{"a":"b"},"temperature":0.5,"max_output_tokens":9,"text":{"format":{"type":"json_object"}}}"#;
    let stream = [
        delta(&json!({"role": "assistant", "content": "Hi"})),
        delta(&json!({"content": " \"you\"\n"})),
        end("stop"),
    ]
    .concat();
    let (text, failed) = passed(&*writer(body), &[stream.as_bytes()]);
    assert!(failed.is_none());
    let fixed = r#""background":false,"instructions":null,"previous_response_id":null,"service_tier":"default","store":false,"tools":[],"truncation":"disabled","max_output_tokens":9,"max_tool_calls":null,"metadata":{"a":"b"},"parallel_tool_calls":true,"prompt_cache_key":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"temperature":0.5,"tool_choice":"auto","top_logprobs":0,"top_p":null,"user":null,"text":{"format":{"type":"json_object"},"verbosity":"medium"}"#;
    let begun = format!(
        r#"{{"id":"resp_ID","object":"response","created_at":NOW,"status":"in_progress","model":"m","completed_at":null,"error":null,"incomplete_details":null,{fixed},"usage":null,"output":[]}}"#
    );
    let part = |text: &str| {
        format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}"#)
    };
    let whole = r#"Hi \"you\"\n"#;
    let item = format!(
        r#"{{"id":"msg_ID_0","type":"message","status":"completed","role":"assistant","content":[{}]}}"#,
        part(whole)
    );
    let usage = r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":7,"cache_write_tokens":0},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":13}"#;
    let place = r#""item_id":"msg_ID_0","output_index":0,"content_index":0"#;
    let mut expected = String::new();
    for (at, (name, rest)) in [
        ("created", format!(r#""response":{begun}"#)),
        ("in_progress", format!(r#""response":{begun}"#)),
        ("output_item.added", r#""output_index":0,"item":{"id":"msg_ID_0","type":"message","status":"in_progress","role":"assistant","content":[]}"#.to_owned()),
        ("content_part.added", format!(r#"{place},"part":{}"#, part(""))),
        ("output_text.delta", format!(r#"{place},"delta":"Hi","logprobs":[]"#)),
        ("output_text.delta", format!(r#"{place},"delta":" \"you\"\n","logprobs":[]"#)),
        ("output_text.done", format!(r#"{place},"text":"{whole}","logprobs":[]"#)),
        ("content_part.done", format!(r#"{place},"part":{}"#, part(whole))),
        ("output_item.done", format!(r#""output_index":0,"item":{item}"#)),
        ("completed", format!(r#""response":{{"id":"resp_ID","object":"response","created_at":NOW,"status":"completed","model":"m","completed_at":NOW,"error":null,"incomplete_details":null,{fixed},"usage":{usage},"output":[{item}]}}"#)),
    ].into_iter().enumerate() {
        let _ = write!(expected, "event: response.{name}\ndata: {{\"type\":\"response.{name}\",\"sequence_number\":{at},{rest}}}\n\n");
    }
    assert_eq!(normal(&text), expected);
    events(&text);
}

#[test]
fn thoughts_text_and_parallel_calls_are_items_in_their_order() {
    let call = |index: usize, function: Value| {
        delta(&json!({"tool_calls": [{"index": index, "function": function}]}))
    };
    let begun = |index: usize, id: &str, name: &str| {
        delta(
            &json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]}),
        )
    };
    let stream = [
        delta(&json!({"role": "assistant", "content": null, "reasoning_content": "Let"})),
        delta(&json!({"reasoning_content": " me"})),
        delta(&json!({"content": "Look."})),
        begun(0, "call_a", "f"),
        call(0, json!({"arguments": "{\"x\":"})),
        begun(1, "call_b", "ns__g"),
        call(0, json!({"arguments": "1}"})),
        begun(2, "call_c", "patch"),
        call(2, json!({"arguments": "{\"input\":\"*** a\\n"})),
        call(2, json!({"arguments": "b\"}"})),
        end("tool_calls"),
    ]
    .concat();
    let (text, _) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    let events = events(&text);
    assert_eq!(
        told(&events),
        r#"created in_progress
in_progress in_progress
output_item.added 0 reasoning in_progress
reasoning_summary_part.added 0
reasoning_summary_text.delta 0 delta "Let"
reasoning_summary_text.delta 0 delta " me"
reasoning_summary_text.done 0 text "Let me"
reasoning_summary_part.done 0
output_item.done 0 reasoning completed
output_item.added 1 message in_progress
content_part.added 1
output_text.delta 1 delta "Look."
output_text.done 1 text "Look."
content_part.done 1
output_item.done 1 message completed
output_item.added 2 function_call in_progress
function_call_arguments.delta 2 delta "{\"x\":"
function_call_arguments.delta 2 delta "1}"
output_item.added 3 function_call in_progress
output_item.added 4 custom_tool_call in_progress
custom_tool_call_input.delta 4 delta "*** a\n"
custom_tool_call_input.delta 4 delta "b"
function_call_arguments.done 2 arguments "{\"x\":1}"
output_item.done 2 function_call completed
function_call_arguments.delta 3 delta "{}"
function_call_arguments.done 3 arguments "{}"
output_item.done 3 function_call completed
custom_tool_call_input.done 4 input "*** a\nb"
output_item.done 4 custom_tool_call completed
completed completed
"#
    );
    let last = &events.last().unwrap()["response"];
    assert_eq!(
        normal(&last["output"].to_string()),
        normal(&json!([
            {"id": last["output"][0]["id"], "type": "reasoning", "status": "completed",
                "summary": [{"type": "summary_text", "text": "Let me"}]},
            {"id": last["output"][1]["id"], "type": "message", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Look."}]},
            {"id": last["output"][2]["id"], "type": "function_call", "status": "completed", "call_id": "call_a",
                "name": "f", "arguments": "{\"x\":1}"},
            {"id": last["output"][3]["id"], "type": "function_call", "status": "completed", "call_id": "call_b",
                "name": "g", "namespace": "ns", "arguments": "{}"},
            {"id": last["output"][4]["id"], "type": "custom_tool_call", "status": "completed", "call_id": "call_c",
                "name": "patch", "input": "*** a\nb"},
        ]).to_string())
    );
}

#[test]
fn a_limit_is_incomplete_and_for_codex_within_completed() {
    let stream = [delta(&json!({"content": "Hi"})), end("length")].concat();
    let body = r#"{"model":"m","stream":true,"input":"u"}"#;
    let mut codex = HeaderMap::new();
    codex.insert("originator", HeaderValue::from_static("codex_exec"));
    for (headers, kind) in [(HeaderMap::new(), "incomplete"), (codex, "completed")] {
        let writer = read_from(&headers, body).unwrap().writer.unwrap();
        let (text, _) = passed(&*writer, &[stream.as_bytes()]);
        let last = events(&text).pop().unwrap();
        assert_eq!(last["type"], format!("response.{kind}"));
        assert_eq!(last["response"]["status"], "incomplete");
        assert_eq!(
            last["response"]["incomplete_details"],
            json!({"reason": "max_output_tokens"})
        );
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    }
    let stream = [delta(&json!({"refusal": "No."})), end("content_filter")].concat();
    let (text, _) = passed(&*writer(body), &[stream.as_bytes()]);
    let last = events(&text).pop().unwrap();
    assert_eq!(
        last["response"]["incomplete_details"],
        json!({"reason": "content_filter"})
    );
    assert_eq!(
        last["response"]["output"][0]["content"],
        json!([{"type": "refusal", "refusal": "No."}])
    );
}

#[test]
fn an_error_ends_the_response_and_what_came_before_stays() {
    let stream = [
        delta(&json!({"content": "Hi"})),
        "data: {\"error\":{\"message\":\"it broke\"}}\n\n".to_owned(),
    ]
    .concat();
    let (text, failed) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert_eq!(failed.unwrap().kind, ErrorKind::EngineError);
    let events = events(&text);
    let last = &events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert!(
        last["response"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("it broke")
    );
    assert_eq!(last["response"]["id"], events[0]["response"]["id"]);
    // A cut stream is no silent end.
    let cut = delta(&json!({"content": "Hi"}));
    let (text, failed) = passed(&*writer(TOOLS), &[cut.as_bytes()]);
    assert_eq!(failed.unwrap().kind, ErrorKind::EngineCut);
    assert!(text.contains("event: response.failed\n"), "{text}");
    assert!(!text.contains("response.completed"), "{text}");
}

#[test]
fn an_error_before_any_event_is_a_response_of_its_own() {
    let error = Error::new(ErrorKind::QueueTimeout, "It waited too long.").retry_after(3);
    let text = super::of_client(&HeaderMap::new()).in_band(&error);
    let events = events(std::str::from_utf8(&text).unwrap());
    assert_eq!(told(&events), "created in_progress\nfailed failed\n");
    assert_eq!(events[1]["response"]["id"], events[0]["response"]["id"]);
    assert_eq!(
        events[1]["response"]["error"],
        json!({"code": "rate_limit_exceeded", "retry_after": 3,
            "message": "It waited too long. Please try again in 3s."})
    );
}

#[test]
fn who_hears_no_comments_gets_events_while_it_waits() {
    let mut codex = HeaderMap::new();
    let beat = |headers: &HeaderMap| super::of_client(headers).heartbeat().unwrap();
    assert_eq!(beat(&codex), ": crucible\n\n");
    codex.insert("originator", HeaderValue::from_static("codex_exec"));
    assert_eq!(
        beat(&codex),
        "event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n"
    );
}
