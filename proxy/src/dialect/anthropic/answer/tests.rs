use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{transcoder::MessageTranslator, whole};
use crate::{
    dialect::{
        anthropic::request_facts::MessagesRequestFacts,
        chat::{ClientTranscoder, chained, event_translator::TranslatingTranscoder},
        engine::openai::passthrough::ChatPassthrough,
    },
    error::{Error, ErrorKind},
};

fn request(cap: usize) -> MessagesRequestFacts {
    MessagesRequestFacts {
        model: "\"m\"".to_owned(),
        estimate: 7,
        stop_sequences: vec!["END".to_owned()],
        cap,
    }
}

fn transcoder(cap: usize) -> TranslatingTranscoder<MessageTranslator> {
    let message = MessageTranslator::new(Arc::new(request(cap)), "msg_1".to_owned());
    TranslatingTranscoder::new(message)
}

/// The client's events for a stream of chat events.
pub(super) fn streamed(chat: &str) -> String {
    let mut of = transcoder(1 << 20);
    let mut out = VecDeque::new();
    of.push(Bytes::copy_from_slice(chat.as_bytes()), &mut out)
        .unwrap();
    of.finish(&mut out).unwrap();
    text(out)
}

/// The message for a completion.
pub(super) fn whole(completion: &str) -> Result<String, Error> {
    whole::message(completion, &request(1 << 20), "msg_1")
}

fn text(out: VecDeque<Bytes>) -> String {
    let out: Vec<u8> = out.into_iter().flatten().collect();
    String::from_utf8(out).unwrap()
}

/// Puts the events of a message together as the SDKs do, and asserts their order: one block is open at a
/// time. The arguments of calls are kept as text under `json`.
pub(super) fn accumulated(events: &str) -> Value {
    let mut message = Value::Null;
    let mut open = None;
    let mut ended = false;
    for data in events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
    {
        let event: Value = serde_json::from_str(data).unwrap();
        assert!(!ended, "an event behind message_stop");
        match event["type"].as_str().unwrap() {
            "message_start" => {
                assert!(message.is_null(), "a second message_start");
                message = event["message"].clone();
            }
            "content_block_start" => {
                assert_eq!(open, None);
                let blocks = message["content"].as_array_mut().unwrap();
                assert_eq!(event["index"], blocks.len());
                open = Some(blocks.len());
                let mut block = event["content_block"].clone();
                block["json"] = "".into();
                blocks.push(block);
            }
            "content_block_delta" => {
                assert_eq!(event["index"].as_u64().unwrap(), open.unwrap() as u64);
                let block = &mut message["content"][open.unwrap()];
                let delta = &event["delta"];
                for (name, of) in [
                    ("text", "text"),
                    ("thinking", "thinking"),
                    ("signature", "signature"),
                    ("partial_json", "json"),
                ] {
                    if let Some(piece) = delta[name].as_str() {
                        block[of] = format!("{}{piece}", block[of].as_str().unwrap()).into();
                    }
                }
            }
            "content_block_stop" => {
                assert_eq!(
                    event["index"].as_u64().unwrap(),
                    open.take().unwrap() as u64
                );
            }
            "message_delta" => {
                assert_eq!(open, None);
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => ended = true,
            other => panic!("no event of a message: {other}"),
        }
    }
    assert!(ended);
    message
}

#[test]
fn an_end_without_done_ends_the_message_once() {
    let chat =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    let events = streamed(chat);
    assert_eq!(events.matches("event: message_stop").count(), 1, "{events}");
    assert_eq!(accumulated(&events)["content"][0]["text"], "x");
    let done = streamed(&format!("{chat}data: [DONE]\n\n"));
    assert_eq!(events, done);
}

#[test]
fn an_error_behind_the_end_writes_nothing() {
    let mut of = transcoder(1 << 20);
    let mut out = VecDeque::new();
    let error = Error::new(ErrorKind::EngineError, "boom");
    assert_eq!(of.fail(&error), None);
    of.push(Bytes::from("data: [DONE]\n\n"), &mut out).unwrap();
    assert_eq!(of.fail(&error), Some(Bytes::new()));
}

#[test]
fn an_event_that_cannot_be_read_is_no_silence() {
    for event in ["data: {garbage\n\n", "data: {\"choices\":5}\n\n"] {
        let mut out = VecDeque::new();
        let pushed = transcoder(1 << 20).push(Bytes::from(event), &mut out);
        assert_eq!(
            pushed.map_err(|error| error.kind),
            Err(ErrorKind::EngineError)
        );
    }
}

#[test]
fn of_a_member_that_stands_twice_the_last_one_counts() {
    let twice = r#"{"choices":[{"delta":{"content":"a","content":"b"}}],"choices":[{"message":{"content":"c","content":"d"}}]}"#;
    let message = accumulated(&streamed(&format!("data: {twice}\n\n")));
    assert_eq!(message["content"][0]["text"], "d");
    assert!(whole(twice).unwrap().contains(r#""text":"d""#));
}

#[test]
fn a_call_that_is_cut_does_not_end_in_tool_use() {
    for (arguments, finish, reason) in [
        (r#"{\"a\":"#, r#""length""#, "max_tokens"),
        (r#"{\"a\":1}"#, r#""length""#, "tool_use"),
        ("[1", r#""length""#, "tool_use"),
        (r#"{\"a\":1}"#, "5", "tool_use"),
        (r#"{\"a\":"#, r#""tool_calls""#, "max_tokens"),
        (r#"{\"a\":\"}"#, r#""stop""#, "max_tokens"),
        (r#"{\"a\":"#, "null", "max_tokens"),
        (r#"{\"a\":"#, r#""content_filter""#, "refusal"),
        ("", r#""stop""#, "tool_use"),
    ] {
        let call = format!(
            r#""tool_calls":[{{"index":0,"id":"a","function":{{"name":"f","arguments":"{arguments}"}}}}]"#
        );
        let completion =
            format!(r#"{{"choices":[{{"message":{{{call}}},"finish_reason":{finish}}}]}}"#);
        let message: Value = serde_json::from_str(&whole(&completion).unwrap()).unwrap();
        assert_eq!(message["stop_reason"], reason, "{completion}");
        let event = completion.replace("\"message\"", "\"delta\"");
        let message = accumulated(&streamed(&format!("data: {event}\n\ndata: [DONE]\n\n")));
        assert_eq!(message["stop_reason"], reason, "{event}");
    }
}

#[test]
fn an_older_call_is_a_call() {
    let chunks = [
        json!({"content": null, "function_call": {"name": "f", "arguments": ""}}),
        json!({"function_call": {"arguments": "{\"a\":"}}),
        json!({"function_call": {"arguments": "1}"}, "tool_calls": null}),
    ]
    .map(|delta| format!("data: {}\n\n", json!({"choices": [{"delta": delta}]})));
    let end = r#"data: {"choices":[{"delta":{},"finish_reason":"function_call"}]}"#;
    let streamed = accumulated(&streamed(&format!("{}{end}\n\n", chunks.concat())));
    let block = &streamed["content"][0];
    assert_eq!(
        (&block["name"], &block["json"], &streamed["stop_reason"]),
        (&json!("f"), &json!("{\"a\":1}"), &json!("tool_use"))
    );
    let message =
        json!({"content": null, "function_call": {"name": "f", "arguments": "{\"a\":1}"}});
    let completion = json!({"choices": [{"message": message, "finish_reason": "function_call"}]});
    let message: Value = serde_json::from_str(&whole(&completion.to_string()).unwrap()).unwrap();
    let block = &message["content"][0];
    assert_eq!(
        (&block["name"], &block["input"], &message["stop_reason"]),
        (&json!("f"), &json!({"a": 1}), &json!("tool_use"))
    );
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut of = transcoder(1000);
    let mut out = VecDeque::new();
    let event = |index: u64, id: &str, arguments: &str| {
        let call =
            json!({"index": index, "id": id, "function": {"name": id, "arguments": arguments}});
        let event = json!({"choices": [{"delta": {"tool_calls": [call]}}]});
        Bytes::from(format!("data: {event}\n\n"))
    };
    of.push(event(0, "a", "{\"x\":"), &mut out).unwrap();
    let mut pushed = Ok(());
    for _ in 0..100 {
        pushed = pushed.and_then(|()| of.push(event(1, "b", &"{".repeat(50)), &mut out));
    }
    assert!(pushed.is_err());
}

/// Generous for a slow machine: what is quadratic takes seconds.
#[test]
fn a_long_call_in_small_pieces_takes_no_time() {
    let began = Instant::now();
    for piece in [
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "x".repeat(1024)}}]}),
        json!({"reasoning_content": "x".repeat(1024)}),
    ] {
        let mut of = transcoder(1 << 21);
        let mut out = VecDeque::new();
        let open = json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\":\""}}]}}]});
        of.push(Bytes::from(format!("data: {open}\n\n")), &mut out)
            .unwrap();
        let event = Bytes::from(format!(
            "data: {}\n\n",
            json!({"choices": [{"delta": piece}]})
        ));
        for _ in 0..1024 {
            of.push(event.clone(), &mut out).unwrap();
        }
        of.finish(&mut out).unwrap();
        assert!(out.iter().map(Bytes::len).sum::<usize>() > 1 << 20);
    }
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

proptest! {
    /// The events of an engine may be cut into frames anywhere.
    #[test]
    fn the_message_does_not_depend_on_the_engines_frames(
        pieces in prop::collection::vec((0_u8..5, 0_u64..3), 1..12),
        cuts in prop::collection::vec(1_usize..40, 1..6),
    ) {
        let mut chat = String::new();
        for (kind, number) in pieces {
            let delta = match kind {
                0 => json!({"content": format!("t{number}\u{e9}")}),
                1 => json!({"reasoning_content": "r"}),
                2 => json!({"tool_calls": [{"index": number, "id": format!("c{number}"), "function": {"name": "f", "arguments": "{\"a\":"}}]}),
                3 => json!({"tool_calls": [{"index": number, "function": {"arguments": "1}"}}]}),
                _ => json!({"content": ""}),
            };
            let event = json!({"choices": [{"delta": delta, "finish_reason": null}]});
            chat = format!("{chat}data: {event}\n\n");
        }
        chat.push_str("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
        let run = |lengths: &[usize]| {
            let engine = ChatPassthrough::new(crucible_config::checked::EngineKind::Llamacpp, false, 1 << 16);
            let mut chain = chained(Box::new(engine), Some(Box::new(transcoder(1 << 16))));
            let mut out = VecDeque::new();
            let mut rest = chat.as_bytes();
            for length in lengths.iter().cycle() {
                let (frame, behind) = rest.split_at((*length).min(rest.len()));
                chain.push(Bytes::copy_from_slice(frame), &mut out).unwrap();
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            chain.finish(&mut out).unwrap();
            // Ids of calls that an engine sent twice are made anew.
            let ids = ["call_", "toolu_"];
            let text = text(out);
            let mut plain = String::new();
            let mut rest = &*text;
            while let Some((at, prefix)) = ids.iter().filter_map(|id| Some((rest.find(id)?, id))).min() {
                plain.push_str(&rest[..at + prefix.len()]);
                rest = rest[at + prefix.len()..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
            }
            plain.push_str(rest);
            plain
        };
        let one = run(&[usize::MAX]);
        accumulated(&one);
        prop_assert_eq!(run(&cuts), one);
    }
}
