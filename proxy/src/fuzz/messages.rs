//! The reader of Anthropic's requests, and the messages that are made of chat events.

use std::collections::VecDeque;

use bytes::Bytes;
use crucible_config::Config;
use http::HeaderMap;
use serde::de::IgnoredAny;

use super::{CUTS, frames, without_ids};
use crate::{
    body::peek::PeekedBody,
    dialect::{
        ClientRequest,
        anthropic::MESSAGES,
        chat::{AnswerWriter, chained},
        engine::openai::passthrough::ChatPassthrough,
        of_path,
    },
};

/// The largest event of an engine.
const LARGE: usize = 1 << 20;

/// Asserts that a request of any bytes is refused with an error in Anthropic's form, or becomes a chat
/// request that is JSON, and always the same one.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn messages_request(data: &[u8]) {
    let config = Config::builtin();
    let headers = HeaderMap::new();
    let read = || {
        let body = Bytes::copy_from_slice(data);
        let dialect = of_path("/v1/messages").unwrap_or(&MESSAGES);
        dialect.read(ClientRequest {
            headers: &headers,
            body,
            config: &config,
        })
    };
    match (read(), read()) {
        (Ok(chat), Ok(again)) => {
            assert_eq!(chat.body, again.body);
            assert_eq!(chat.notes, again.notes);
            assert!(serde_json::from_slice::<IgnoredAny>(&chat.body).is_ok());
            let peek = PeekedBody::of(&chat.body, 128);
            assert!(peek.is_ok_and(|peek| peek.raw(&chat.body, "messages").is_some()));
            assert!(chat.notes.iter().all(|note| !note.contains(['\n', '\r'])));
        }
        (Err(error), Err(_)) => {
            assert!(error.status().is_client_error(), "{error}");
        }
        (first, _) => assert!(first.is_ok() && first.is_err(), "read in two ways"),
    }
}

/// Asserts that a client gets the same whole events however an engine's bytes come, that a message is
/// ended once, and that nothing follows its end.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn messages_stream(data: &[u8]) {
    let whole = answer(data, CUTS[0]);
    let text = String::from_utf8_lossy(&whole.0);
    for event in text.split_terminator("\n\n") {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let is_json = data.is_some_and(|data| serde_json::from_str::<IgnoredAny>(data).is_ok());
        assert!(
            event.starts_with("event: ") && is_json,
            "no whole event: {event}"
        );
    }
    let ends = text.matches("event: message_stop").count();
    assert!(ends <= 1 && (ends == 0 || text.ends_with("data: {\"type\":\"message_stop\"}\n\n")));
    if whole.1 == "complete" {
        assert_eq!(ends, 1);
    }
    for lengths in CUTS {
        assert_eq!(answer(data, lengths), whole, "cut by {lengths:?}");
    }
}

/// What the client gets of such a stream of an engine, and how it ends.
fn answer(data: &[u8], lengths: &[usize]) -> (Vec<u8>, String) {
    let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":"x"}],"stream":true}"#);
    let config = Config::builtin();
    let request = ClientRequest {
        headers: &HeaderMap::new(),
        body,
        config: &config,
    };
    let dialect = of_path("/v1/messages").unwrap_or(&MESSAGES);
    let writer = dialect.read(request).ok().and_then(|chat| chat.writer);
    let client = writer.map(|writer| AnswerWriter::transcoder(&*writer));
    let kind = crucible_config::checked::EngineKind::Llamacpp;
    let mut of = chained(Box::new(ChatPassthrough::new(kind, false, LARGE)), client);
    let mut out = VecDeque::new();
    let pushed = frames(data, lengths)
        .try_for_each(|frame| of.push(Bytes::copy_from_slice(frame), &mut out).map(drop));
    let ended = match pushed.and_then(|()| of.finish(&mut out)) {
        Ok(_) => "complete".to_owned(),
        Err(error) => error.to_string(),
    };
    (without_ids(out.into_iter().flatten().collect()), ended)
}
