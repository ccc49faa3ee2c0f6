//! The recognition of an answer that is no stream although one was asked for.
//!
//! LM Studio answers with one JSON where something goes wrong, and some servers ignore `stream`. The
//! first bytes decide, not the content type, because servers give their streams many types.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use crate::sse::framer::OversizeEvent;

/// The fields with which a line of an event stream may begin, before the colon; `error` is
/// llama.cpp's.
const FIELDS: [&[u8]; 6] = [b"", b"data", b"event", b"id", b"retry", b"error"];

/// The byte-order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Recognises by its first bytes whether an engine's answer is a stream of events or one document.
#[derive(Debug)]
pub(crate) enum StreamDetector {
    /// Only blanks have come so far, or half a word.
    Unknown(BytesMut),
    /// The answer is a stream of events.
    Events,
    /// The answer is something else, which is kept until its end.
    Whole(BytesMut),
}

// === impl StreamDetector ===

impl StreamDetector {
    /// Starts before the first byte, so that nothing is decided.
    pub(crate) fn new() -> Self {
        Self::Unknown(BytesMut::new())
    }

    /// Takes a frame and returns the bytes that belong to a stream of events.
    ///
    /// # Errors
    /// More than `cap` bytes had to be kept.
    pub(crate) fn pass(
        &mut self,
        frame: Bytes,
        cap: usize,
    ) -> Result<Option<Bytes>, OversizeEvent> {
        let held = match self {
            Self::Events => return Ok(Some(frame)),
            Self::Unknown(held) if held.is_empty() => match is_event(&frame) {
                Some(true) => {
                    *self = Self::Events;
                    return Ok(Some(frame));
                }
                _ => held,
            },
            Self::Unknown(held) | Self::Whole(held) => held,
        };
        held.extend_from_slice(&frame);
        if held.len() > cap {
            return Err(OversizeEvent);
        }
        if let Self::Unknown(held) = self {
            match is_event(held) {
                None => {}
                Some(true) => {
                    let held = held.split().freeze();
                    *self = Self::Events;
                    return Ok(Some(held));
                }
                Some(false) => *self = Self::Whole(held.split()),
            }
        }
        Ok(None)
    }

    /// Takes the end of the body and returns the bytes of an answer that is no stream.
    ///
    /// # Errors
    /// The bytes that were kept are the beginning of a stream after all.
    pub(crate) fn end(&mut self) -> Result<Option<Bytes>, Bytes> {
        match std::mem::replace(self, Self::Events) {
            Self::Events => Ok(None),
            Self::Unknown(held) => Err(held.freeze()),
            Self::Whole(held) if memmem::find(&held, b"\ndata:").is_some() => Err(held.freeze()),
            Self::Whole(held) => Ok(Some(held.freeze())),
        }
    }
}

/// Reports whether a whole body is a stream of events.
pub(crate) fn is_event_stream(body: &[u8]) -> bool {
    is_event(body) == Some(true)
}

/// Reports whether these are the first bytes of an event stream; `None` where they are too few.
fn is_event(bytes: &[u8]) -> Option<bool> {
    if bytes.len() < MARK.len() && MARK.starts_with(bytes) {
        return None;
    }
    let text = bytes.strip_prefix(MARK).unwrap_or(bytes);
    let text = text.trim_ascii_start();
    for field in FIELDS {
        match text.strip_prefix(field) {
            Some([b':', ..]) => return Some(true),
            Some([]) => return None,
            None if field.starts_with(text) => return None,
            _ => {}
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream gets and what is kept, fed in pieces of `size`.
    fn fed(text: &str, size: usize) -> (String, Result<Option<Bytes>, Bytes>) {
        let mut form = StreamDetector::new();
        let mut events = String::new();
        for piece in text.as_bytes().chunks(size) {
            if let Some(passed) = form.pass(Bytes::copy_from_slice(piece), 1 << 16).unwrap() {
                events.push_str(&String::from_utf8_lossy(&passed));
            }
        }
        (events, form.end())
    }

    #[test]
    fn a_stream_passes_unchanged_and_anything_else_is_kept() {
        for (text, streams) in [
            ("data: {}\n\n", true),
            ("data:{}\n\n", true),
            (": ping\n\ndata: {}\n\n", true),
            ("\r\n\r\nevent: error\ndata: x\n\n", true),
            ("id: 7\ndata: x\n\n", true),
            ("retry:5\n\n", true),
            ("error: {}\n\n", true),
            ("\u{feff}data: x\n\n", true),
            ("{\"error\":\"data: x\"}", false),
            (" \n{\"choices\":[]}", false),
            ("\u{feff}{}", false),
            ("[1]", false),
            ("\"text\"", false),
            ("dated text", false),
            ("eventually: it broke", false),
            ("<!doctype html>", false),
        ] {
            for size in [1, 2, 3, 100] {
                let (events, kept) = fed(text, size);
                if streams {
                    assert_eq!((&*events, kept), (text, Ok(None)), "{size}");
                } else {
                    let kept = kept.unwrap().expect(text);
                    assert_eq!((&*events, &kept[..]), ("", text.as_bytes()), "{size}");
                }
            }
        }
    }

    #[test]
    fn the_beginning_of_a_stream_is_one_and_so_is_one_behind_odd_lines() {
        for text in ["", "\n", "dat", "data", "odd: x\ndata: {}\n\n"] {
            assert_eq!(fed(text, 100), (String::new(), Err(text.to_owned().into())));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for text in ["{aaaa", "     "] {
            let mut form = StreamDetector::new();
            assert_eq!(form.pass(Bytes::from_static(text.as_bytes()), 5), Ok(None));
            assert_eq!(form.pass(Bytes::from_static(b" "), 5), Err(OversizeEvent));
        }
    }
}
