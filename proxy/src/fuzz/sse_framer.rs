//! The framer of server-sent events, and the stream that is made of its events.

use std::collections::VecDeque;

use bytes::Bytes;
use crucible_config::checked::EngineKind;

use super::{CUTS, frames, without_ids};
use crate::{
    dialect::{
        chat::{EngineTranscoder, event_keys::EventKeys},
        engine::openai::passthrough::ChatPassthrough,
    },
    sse::{
        event,
        framer::{EventFramer, FramedEvent, OversizeEvent},
    },
};

/// The largest event of the small framer, and of the stream.
const SMALL: usize = 48;
const LARGE: usize = 1 << 20;

/// Asserts that the same events come wherever frames are cut, that they are all bytes of the stream but
/// a mark at its start, that each ends with a blank line, and that no more than the cap is kept.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn sse_framer(data: &[u8]) {
    let whole = events(data, CUTS[0], LARGE);
    let (found, tail) = &whole;
    let mut joined = found.concat();
    joined.extend_from_slice(tail);
    let unmarked = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    assert_eq!(joined, unmarked, "a byte is lost");
    for event in found {
        let blank = [
            &b"\n\n"[..],
            b"\r\r",
            b"\r\n\r\n",
            b"\n\r\n",
            b"\r\r\n",
            b"\r\n\r",
            b"\n\r",
        ];
        let is_blank = matches!(&event[..], b"\n" | b"\r" | b"\r\n");
        assert!(is_blank || blank.iter().any(|end| event.ends_with(end)));
        event::read(event);
        EventKeys::of(event);
    }
    let passed = passed(data, CUTS[0]);
    for lengths in &CUTS[1..] {
        assert_eq!(events(data, lengths, LARGE), whole, "cut by {lengths:?}");
        assert_eq!(self::passed(data, lengths), passed, "cut by {lengths:?}");
        events(data, lengths, SMALL);
    }
}

/// The events of a stream and what is left at its end; beyond the cap it is given up.
fn events(data: &[u8], lengths: &[usize], cap: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut framer = EventFramer::new(cap);
    let mut events: Vec<Vec<u8>> = Vec::new();
    for frame in frames(data, lengths) {
        let frame = Bytes::copy_from_slice(frame);
        let pushed = framer.push(&frame, |event| {
            match event {
                FramedEvent::InFrame(range) => events.push(frame[range].to_vec()),
                FramedEvent::Joined(bytes) => {
                    assert!(bytes.len() <= cap.saturating_add(frame.len()));
                    events.push(bytes.to_vec());
                }
                FramedEvent::Rest(range) => {
                    assert!(!events.is_empty(), "a rest follows an event");
                    if let Some(last) = events.last_mut() {
                        last.extend_from_slice(&frame[range]);
                    }
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
        if pushed == Ok(Err(OversizeEvent)) {
            break;
        }
    }
    (events, framer.tail().to_vec())
}

/// What the client gets of such a stream, and how it ends.
fn passed(data: &[u8], lengths: &[usize]) -> (Vec<u8>, String) {
    let mut stream = ChatPassthrough::new(EngineKind::Lmstudio, true, LARGE);
    let mut out = VecDeque::new();
    let pushed = frames(data, lengths).try_for_each(|frame| {
        stream
            .push(Bytes::copy_from_slice(frame), &mut out)
            .map(drop)
    });
    let ended = match pushed.and_then(|()| stream.finish(&mut out)) {
        Ok(_) => "complete".to_owned(),
        Err(error) => error.to_string(),
    };
    (without_ids(out.into_iter().flatten().collect()), ended)
}
