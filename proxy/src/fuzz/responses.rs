//! The format of responses: any request is refused or written as a chat request, and any stream becomes
//! whole events.
#![expect(
    clippy::expect_used,
    reason = "a target panics where something does not hold"
)]

use std::collections::VecDeque;

use bytes::Bytes;
use crucible_config::{Config, checked::EngineKind};
use http::HeaderMap;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{CUTS, frames, without_ids};
use crate::dialect::{
    ClientRequest,
    chat::{AnswerWriter, chained},
    engine::openai::passthrough::ChatPassthrough,
    responses,
};

/// A request whose answer may call tools of every kind.
const TOOLS: &str = r#"{"model":"m","stream":true,"input":"u","include":["message.output_text.logprobs"],"tools":[{"type":"function","name":"f"},{"type":"namespace","name":"ns","tools":[{"type":"function","name":"g"}]},{"type":"custom","name":"patch"}]}"#;

/// The longest event of an engine.
const EVENT: usize = 1 << 20;

/// Asserts that a request is refused with a client's error, or becomes a chat request that is JSON, in
/// which everything that the plan reads can be read, and whose answer can be written.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn responses_request(data: &[u8]) {
    let config = Config::builtin();
    let read = responses::of_client(&HeaderMap::new()).read(ClientRequest {
        headers: &HeaderMap::new(),
        body: Bytes::copy_from_slice(data),
        config: &config,
    });
    let chat = match read {
        Ok(chat) => chat,
        Err(error) => {
            assert!(error.status().is_client_error(), "{error}");
            return;
        }
    };
    let body: Value = serde_json::from_slice(&chat.body).expect("a chat request is JSON");
    let messages = body["messages"].as_array().map_or(0, Vec::len);
    assert!(messages > 0, "no message: {body}");
    chat.peek.estimated_prompt_tokens();
    chat.peek.prompt(&chat.body);
    let writer = chat.writer.expect("a writer");
    let completion = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    let whole = writer.whole(completion.into()).expect("a response");
    serde_json::from_slice::<IgnoredAny>(&whole).expect("a response is JSON");
}

/// Asserts that a stream becomes whole events with JSON in them, of which exactly the last one ends the
/// response, and that they do not depend on where frames are cut.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn responses_stream(data: &[u8]) {
    let config = Config::builtin();
    let chat = responses::of_client(&HeaderMap::new()).read(ClientRequest {
        headers: &HeaderMap::new(),
        body: TOOLS.into(),
        config: &config,
    });
    let writer = chat.ok().and_then(|chat| chat.writer).expect("a writer");
    let whole = answer(&*writer, data, CUTS[0]);
    events(&whole);
    for lengths in CUTS {
        let cut = answer(&*writer, data, lengths);
        assert_eq!(untimed(&cut), untimed(&whole), "cut by {lengths:?}");
    }
}

/// What the client gets of such a stream.
fn answer(writer: &dyn AnswerWriter, data: &[u8], lengths: &[usize]) -> Vec<u8> {
    let engine = ChatPassthrough::new(EngineKind::Llamacpp, false, EVENT);
    let mut chain = chained(Box::new(engine), Some(writer.transcoder()));
    let mut out = VecDeque::new();
    let pushed = frames(data, lengths).try_for_each(|frame| {
        chain
            .push(Bytes::copy_from_slice(frame), &mut out)
            .map(drop)
    });
    if let Err(error) = pushed.and_then(|()| chain.finish(&mut out).map(drop)) {
        out.extend(chain.fail(&error));
    }
    without_ids(out.into_iter().flatten().collect())
}

fn events(stream: &[u8]) {
    let text = std::str::from_utf8(stream).expect("UTF-8");
    assert!(text.ends_with("\n\n"), "half an event");
    let ends = ["completed", "incomplete", "failed"].map(|end| format!("event: response.{end}"));
    let mut ended = false;
    for (at, event) in text.split_terminator("\n\n").enumerate() {
        assert!(!ended, "an event after the end: {event}");
        let (name, data) = event.split_once("\ndata: ").expect("a name and data");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["sequence_number"], at);
        ended = ends.iter().any(|end| end == name);
    }
    assert!(ended, "no end: {text}");
}

/// Takes out the time at which the response was complete.
fn untimed(stream: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"\"completed_at\":";
    let mut stream = stream.to_vec();
    if let Some(at) = memchr::memmem::rfind(&stream, NAME) {
        let digits = stream[at + NAME.len()..].iter_mut();
        for digit in digits.take_while(|digit| digit.is_ascii_digit()) {
            *digit = b'0';
        }
    }
    stream
}
