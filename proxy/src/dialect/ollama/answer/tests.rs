use std::{collections::VecDeque, fmt::Write as _, time::Instant};

use bytes::Bytes;
use crucible_config::{Config, checked::EngineKind};
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    dialect::{
        ClientRequest,
        chat::{AnswerWriter, ClientTranscoder, chained},
        engine::openai::passthrough::ChatPassthrough,
        of_path,
    },
    error::{Error, ErrorKind},
    fuzz::{without_ids, without_times},
};

fn writer(path: &str) -> std::sync::Arc<dyn AnswerWriter> {
    let body =
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"prompt":"x","input":"x"}"#;
    let request = ClientRequest {
        headers: &HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        config: &Config::builtin(),
    };
    of_path(path)
        .unwrap()
        .read(request)
        .unwrap()
        .writer
        .unwrap()
}

fn transcoder(path: &str) -> Box<dyn ClientTranscoder> {
    writer(path).transcoder()
}

/// The lines for a stream of chat events, without moments and durations.
pub(super) fn streamed(path: &str, chat: &str) -> String {
    without_times(&timed(path, chat))
}

fn timed(path: &str, chat: &str) -> String {
    let mut of = transcoder(path);
    let mut out = VecDeque::new();
    of.push(Bytes::copy_from_slice(chat.as_bytes()), &mut out)
        .unwrap();
    of.finish(&mut out).unwrap();
    String::from_utf8(out.into_iter().flatten().collect()).unwrap()
}

/// The document for a whole completion, without moments and durations.
pub(super) fn whole(path: &str, completion: &str) -> Result<String, Error> {
    let document = writer(path).whole(Bytes::copy_from_slice(completion.as_bytes()))?;
    Ok(without_times(std::str::from_utf8(&document).unwrap()))
}

#[test]
fn times_are_the_engines_where_it_tells_them_and_measured_elsewhere() {
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let end = |timings: &str| {
        format!(
            "{text}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}],\
             \"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":4}}{timings}}}\n\ndata: [DONE]\n\n"
        )
    };
    let last = |chat: &str| -> Value {
        let lines = timed("/api/chat", chat);
        serde_json::from_str(lines.lines().last().unwrap()).unwrap()
    };
    let told = last(&end(
        r#","timings":{"cache_n":4,"prompt_n":5,"prompt_ms":20.5,"predicted_n":4,"predicted_ms":8}"#,
    ));
    assert_eq!(told["prompt_eval_duration"], 20_500_000);
    assert_eq!(told["eval_duration"], 8_000_000);
    assert_eq!(
        (&told["prompt_eval_count"], &told["eval_count"]),
        (&json!(9), &json!(4))
    );
    let measured = last(&end(""));
    for name in [
        "total_duration",
        "load_duration",
        "prompt_eval_duration",
        "eval_duration",
    ] {
        assert!(
            measured[name]
                .as_u64()
                .is_some_and(|nanos| nanos < 60_000_000_000),
            "{name}"
        );
    }
    assert!(
        humantime::parse_rfc3339(measured["created_at"].as_str().unwrap()).is_ok(),
        "{measured}"
    );
    // Where nothing is known nothing is said.
    let bare = last("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    for name in [
        "prompt_eval_count",
        "eval_count",
        "prompt_eval_duration",
        "eval_duration",
    ] {
        assert!(bare.get(name).is_none(), "{bare}");
    }
}

#[test]
fn an_error_is_the_last_line_and_nothing_follows_an_end() {
    let mut of = transcoder("/api/chat");
    let mut out = VecDeque::new();
    let error = Error::new(ErrorKind::EngineCut, "the engine's stream was cut");
    assert_eq!(of.fail(&error), None, "the format writes it");
    let line = of_path("/api/chat").unwrap().in_band(&error);
    assert_eq!(line, "{\"error\":\"the engine's stream was cut\"}\n");
    of.push(Bytes::from_static(b"data: [DONE]\n\n"), &mut out)
        .unwrap();
    assert_eq!(of.fail(&error), Some(Bytes::new()));
    assert!(
        of.push(Bytes::from_static(b"data: no JSON\n\n"), &mut out)
            .is_ok()
    );
    assert!(
        transcoder("/api/chat")
            .push(Bytes::from_static(b"data: no JSON\n\n"), &mut out)
            .is_err()
    );
}

#[test]
fn a_waiting_client_gets_nothing_between_two_lines() {
    for path in [
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/api/tags",
    ] {
        let format = of_path(path).unwrap();
        assert!(format.heartbeat().is_none(), "{path}");
        assert_eq!(format.stream_type(), "application/x-ndjson");
    }
}

#[test]
fn a_call_of_a_mebibyte_in_small_pieces_takes_no_time() {
    let mut chat = String::from(
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"t\\\":\\\"\"}}]}}]}\n\n",
    );
    let piece = "x".repeat(1024);
    for _ in 0..1023 {
        let _ = write!(
            chat,
            "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{piece}\"}}}}]}}}}]}}\n\n"
        );
    }
    chat.push_str("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"}\"}}]}}]}\n\ndata: [DONE]\n\n");
    let begun = Instant::now();
    let lines = streamed("/api/chat", &chat);
    // Unoptimised and on a busy machine; anything quadratic takes minutes.
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    assert!(lines.len() > 1_000_000);
}

proptest! {
    /// The events of an engine may be cut into frames anywhere.
    #[test]
    fn the_lines_do_not_depend_on_the_engines_frames(
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
            let engine = ChatPassthrough::new(EngineKind::Llamacpp, false, 1 << 16);
            let mut chain = chained(Box::new(engine), Some(transcoder("/api/chat")));
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
            let sent = without_ids(out.into_iter().flatten().collect());
            without_times(&String::from_utf8(sent).unwrap())
        };
        prop_assert_eq!(run(&cuts), run(&[usize::MAX]));
    }

    /// Whatever an engine's texts and arguments hold, a client finds as many lines as there are documents.
    #[test]
    fn every_line_is_one_document_for_every_client(
        texts in prop::collection::vec("[a\u{85}\u{a9}\u{2028}\u{2029}\u{2026}\n\r\"\\\\]{0,6}", 4..5),
        line_end in prop::sample::select(vec!["", "\n", "\r\n", "\r"]),
        is_chat in any::<bool>(),
    ) {
        let arguments = format!("{{{line_end}{}:{line_end}1{line_end}}}", json!(texts[0]));
        let message = json!({
            "content": texts[1], "reasoning_content": texts[2],
            "tool_calls": [{"index": 0, "id": texts[3], "function": {"name": texts[3], "arguments": arguments}}],
        });
        let path = if is_chat { "/api/chat" } else { "/api/generate" };
        let event = json!({"choices": [{"delta": message, "finish_reason": null}]});
        let lines = timed(path, &format!("data: {event}\n\ndata: [DONE]\n\n"));
        let completion = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
        let document = whole(path, &serde_json::to_string_pretty(&completion).unwrap()).unwrap();
        let splits = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        prop_assert!(!document.contains(splits), "{document:?}");
        let mut contents = String::new();
        for line in lines.strip_suffix('\n').unwrap().split(splits) {
            let line: Value = serde_json::from_str(line).unwrap();
            let content = if is_chat { &line["message"]["content"] } else { &line["response"] };
            contents.push_str(content.as_str().unwrap());
            if let Some(calls) = line["message"].get("tool_calls") {
                prop_assert_eq!(&calls[0]["function"]["arguments"], &json!({&*texts[0]: 1}));
            }
        }
        prop_assert_eq!(contents, texts[1].as_str());
    }
}
