//! The reader of Ollama's lines, and the answers that are made of them.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{CUTS, frames, without_ids};
use crate::dialect::{
    chat::EngineTranscoder,
    engine::ollama::response::{
        OllamaAggregate, OllamaStream, OllamaText, OllamaWholeText, line_reader::LineReader,
    },
};

/// The longest line of the small reader, and of the answers.
const SMALL: usize = 24;
const LARGE: usize = 1 << 20;

/// Asserts that lines with their ends are the stream, that the cap on the length of a line is kept
/// wherever frames are cut, and that a client gets the same whole events, or the same answer,
/// however the engine's bytes come.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn ollama_lines(data: &[u8]) {
    let whole: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let is_small = whole.iter().all(|line| line.len() <= SMALL);
    let streamed = answer(OllamaStream::new("m", 7, true, LARGE), data, CUTS[0]);
    let collected = answer(OllamaAggregate::new("m", 7, LARGE), data, CUTS[0]);
    let text = answer(OllamaText::new("m", 7, true, LARGE), data, CUTS[0]);
    let whole_text = answer(OllamaWholeText::new("m", 7, LARGE), data, CUTS[0]);
    whole_events(&streamed.0);
    whole_events(&text.0);
    for (sent, ended) in [&collected, &whole_text] {
        assert!(ended != "complete" || serde_json::from_slice::<IgnoredAny>(sent).is_ok());
    }
    for lengths in CUTS {
        let (read, tail, is_within) = lines(data, lengths, LARGE);
        assert!(is_within);
        assert!(read.iter().chain([&tail]).eq(&whole), "cut by {lengths:?}");
        assert_eq!(
            lines(data, lengths, SMALL).2,
            is_small,
            "cut by {lengths:?}"
        );
        let stream = OllamaStream::new("m", 7, true, LARGE);
        assert_eq!(
            answer(stream, data, lengths),
            streamed,
            "cut by {lengths:?}"
        );
        let aggregate = OllamaAggregate::new("m", 7, LARGE);
        assert_eq!(
            answer(aggregate, data, lengths),
            collected,
            "cut by {lengths:?}"
        );
        let stream = OllamaText::new("m", 7, true, LARGE);
        assert_eq!(answer(stream, data, lengths), text, "cut by {lengths:?}");
        let aggregate = OllamaWholeText::new("m", 7, LARGE);
        assert_eq!(
            answer(aggregate, data, lengths),
            whole_text,
            "cut by {lengths:?}"
        );
    }
}

/// The lines of a stream, what is left at its end, and whether none was longer than the cap.
fn lines(data: &[u8], lengths: &[usize], cap: usize) -> (Vec<Vec<u8>>, Vec<u8>, bool) {
    let mut reader = LineReader::new(cap);
    let mut read: Vec<Vec<u8>> = Vec::new();
    let pushed = frames(data, lengths).try_for_each(|frame| {
        reader.push(frame, |line| {
            assert!(line.len() <= cap, "a line beyond the cap");
            read.push(line.to_vec());
            Ok(())
        })
    });
    (read, reader.partial, pushed.is_ok())
}

/// What the client gets of such a stream, and how it ends.
fn answer(mut of: impl EngineTranscoder, data: &[u8], lengths: &[usize]) -> (Vec<u8>, String) {
    let mut out = VecDeque::new();
    let pushed = frames(data, lengths)
        .try_for_each(|frame| of.push(Bytes::copy_from_slice(frame), &mut out).map(drop));
    let ended = match pushed.and_then(|()| of.finish(&mut out)) {
        Ok(_) => "complete".to_owned(),
        Err(error) => error.to_string(),
    };
    (without_ids(out.into_iter().flatten().collect()), ended)
}

/// Each event is one line of data, JSON but for the last, and a blank line.
fn whole_events(sent: &[u8]) {
    let text = String::from_utf8_lossy(sent);
    for event in text.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").unwrap_or_default();
        let is_json = serde_json::from_str::<IgnoredAny>(data).is_ok();
        assert!(is_json || data == "[DONE]", "no whole event: {event}");
    }
}
