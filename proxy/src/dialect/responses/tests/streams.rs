//! Streams: chat events and the events that they become.

use std::{collections::VecDeque, fmt::Write as _};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{normal, read_from, writer};
use crate::{
    dialect::chat::{AnswerWriter, EngineTranscoder, chained},
    dialect::engine::openai::passthrough::ChatPassthrough,
    error::{Error, Kind},
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
    assert_eq!(failed.unwrap().kind, Kind::EngineError);
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
    assert_eq!(failed.unwrap().kind, Kind::EngineCut);
    assert!(text.contains("event: response.failed\n"), "{text}");
    assert!(!text.contains("response.completed"), "{text}");
}

#[test]
fn an_error_before_any_event_is_a_response_of_its_own() {
    let error = Error::new(Kind::QueueTimeout, "It waited too long.").retry_after(3);
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

#[test]
fn odd_events_of_engines_are_understood() {
    // One index for several calls, arguments as an object, a name in every event, parts, no index.
    let stream = [
        delta(&json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]})),
        delta(&json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{\"a\":"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "1}"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "id": "2", "function": {"name": "g", "arguments": "{}"}}]})),
        delta(&json!({"tool_calls": [{"id": "3", "function": {"name": "patch", "arguments": "plain"}}]})),
        ": comment\n\n".to_owned(),
        end("tool_calls").replace("\n\n", "\r\n\r\n"),
    ]
    .concat();
    let (text, failed) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(failed.is_none(), "{failed:?}");
    let last = events(&text).pop().unwrap();
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!(output[0]["summary"][0]["text"], "hm");
    assert_eq!(output[1]["content"][0]["text"], "a");
    let called: Vec<_> = output[2..]
        .iter()
        .map(|item| {
            (
                &item["name"],
                item.get("arguments").or(item.get("input")).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        called,
        [
            (&json!("f"), &json!("{\"a\":1}")),
            (&json!("g"), &json!("{}")),
            (&json!("patch"), &json!("plain"))
        ]
    );
}

#[test]
fn probabilities_are_told_where_they_are_wanted() {
    let body =
        r#"{"model":"m","stream":true,"input":"u","include":["message.output_text.logprobs"]}"#;
    let token = json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []});
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [token]}}]});
    let stream = format!("data: {chunk}\n\ndata: {chunk}\n\n{}", end("stop"));
    let (text, _) = passed(&*writer(body), &[stream.as_bytes()]);
    let events = events(&text);
    assert_eq!(events[4]["logprobs"], json!([token]));
    assert_eq!(
        events.last().unwrap()["response"]["output"][0]["content"][0]["logprobs"],
        json!([token, token])
    );
    let (text, _) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(!text.contains("-0.5"), "{text}");
}

#[test]
fn a_long_answer_costs_no_more_per_byte_than_a_short_one() {
    let piece = "x".repeat(1024);
    let text = delta(&json!({"content": piece}));
    let thought = delta(&json!({"reasoning_content": piece}));
    let call = delta(
        &json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "patch", "arguments": piece}}]}),
    );
    for chunk in [text, thought, call] {
        let writer = writer(TOOLS);
        let mut chain = engine(&*writer);
        let mut out = VecDeque::new();
        let began = std::time::Instant::now();
        for _ in 0..1024 {
            chain
                .push(Bytes::copy_from_slice(chunk.as_bytes()), &mut out)
                .unwrap();
            out.clear();
        }
        chain.push(end("stop").into(), &mut out).unwrap();
        assert!(out.iter().map(Bytes::len).sum::<usize>() > 2 << 20);
        // Without optimisation, on a busy machine; quadratic work would take minutes.
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}

#[test]
fn an_answer_beyond_the_limit_is_an_error() {
    let mut config = crucible_config::Config::builtin();
    config.limits.event = 1000;
    let chat = crate::dialect::ClientDialect::read(
        super::of_client(&HeaderMap::new()),
        crate::dialect::ClientRequest {
            headers: &HeaderMap::new(),
            body: TOOLS.into(),
            config: &config,
        },
    );
    let chunk = delta(&json!({"content": "x".repeat(600)}));
    let (text, failed) = passed(
        &*chat.unwrap().writer.unwrap(),
        &[chunk.as_bytes(), chunk.as_bytes()],
    );
    assert!(failed.unwrap().message.contains("limits.event"));
    assert!(text.contains("response.failed"));
}

/// Any answer of an engine in a few deltas.
fn deltas() -> impl Strategy<Value = Vec<Value>> {
    let text = ".{0,8}";
    let call = (
        0_usize..3,
        prop_oneof![Just("f"), Just("ns__g"), Just("patch")],
        text,
    );
    let one = prop_oneof![
        text.prop_map(|text| json!({"content": text})),
        text.prop_map(|text| json!({"reasoning_content": text})),
        text.prop_map(|text| json!({"refusal": text})),
        call.prop_map(|(index, name, text)| json!({"tool_calls": [{"index": index, "id": format!("call_{index}"),
            "function": {"name": name, "arguments": text}}]})),
    ];
    prop::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn the_events_do_not_depend_on_where_frames_are_cut(
        deltas in deltas(),
        cuts in prop::collection::vec(0_usize..3000, 0..8),
    ) {
        let mut stream: String = deltas.iter().map(delta).collect();
        stream.push_str(&delta(&json!({"content": "end"})));
        stream.push_str(&end("stop"));
        let bytes = stream.as_bytes();
        let writer = writer(TOOLS);
        let (whole, failed) = passed(&*writer, &[bytes]);
        prop_assert!(failed.is_none());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let frames: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (cut, _) = passed(&*writer, &frames);
        prop_assert_eq!(&normal(&cut), &normal(&whole));
        // What was told in pieces is what is told at the end.
        let events = events(&whole);
        let last = &events.last().unwrap()["response"];
        prop_assert_eq!(&last["status"], "completed");
        for (at, item) in last["output"].as_array().unwrap().iter().enumerate() {
            let pieces: String = events
                .iter()
                .filter(|event| event["output_index"] == at)
                .filter_map(|event| event.get("delta")?.as_str())
                .collect();
            let whole = match item["type"].as_str().unwrap() {
                "reasoning" => item["summary"][0]["text"].as_str().unwrap().to_owned(),
                "function_call" => item["arguments"].as_str().unwrap().to_owned(),
                "custom_tool_call" => item["input"].as_str().unwrap().to_owned(),
                _ => item["content"].as_array().unwrap().iter()
                    .map(|part| part.get("text").or(part.get("refusal")).unwrap().as_str().unwrap())
                    .collect(),
            };
            prop_assert!(pieces == whole || pieces.is_empty() && whole == "{}", "{pieces} {whole}");
            let ended = events.iter().filter(|e| e["type"] == "response.output_item.done" && e["output_index"] == at);
            prop_assert_eq!(ended.map(|e| &e["item"]).collect::<Vec<_>>(), [item]);
        }
    }
}

#[test]
fn arguments_before_the_name_wait_for_it() {
    let stream = [
        delta(
            &json!({"tool_calls": [{"index": 0, "id": "1", "function": {"arguments": "{\"a\":"}}]}),
        ),
        delta(&json!({"tool_calls": [{"index": 0, "function": {"name": "g", "arguments": "1"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]})),
        delta(&json!({"tool_calls": [{"index": 1, "id": "2", "function": {"arguments": "[]"}}]})),
        end("tool_calls"),
    ]
    .concat();
    let (text, failed) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(failed.is_none(), "{failed:?}");
    let events = events(&text);
    let deltas: String = events
        .iter()
        .filter(|event| event["output_index"] == 0)
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, r#"{"a":1}"#);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["name"], "g");
    assert_eq!(output[0]["arguments"], r#"{"a":1}"#);
    assert_eq!(output[1]["arguments"], "[]");
}

#[test]
fn an_error_behind_the_end_writes_nothing() {
    let stream = [delta(&json!({"content": "Hi"})), end("stop")].concat();
    let mut chain = engine(&*writer(TOOLS));
    let mut out = VecDeque::new();
    chain.push(Bytes::from(stream), &mut out).unwrap();
    let error = Error::new(Kind::EngineError, "boom");
    assert_eq!(chain.fail(&error), Some(Bytes::new()));
}
