//! The ends of server-sent events: frames go in, whole events come out, and every byte is kept.
//!
//! An event ends with a blank line, and a line ends with LF, CR LF or CR (WHATWG HTML, 9.2.6). A frame
//! may be cut anywhere, within a CR LF or a byte-order mark too; only such a mark at the very start is
//! taken away. From the frames `data: a\n`, `\ndata: b` and `\n\n` come the events `data: a\n\n` and
//! `data: b\n\n`, the first with the second frame.
//!
//! It is written by hand because readers of events return the text of an event, while the engine's
//! bytes have to be passed on. `eventsource-stream` (0.2.3), which reads each whole event behind it
//! ([`event`](super::event)), also copies the rest of its buffer for each event: one event of 1 MiB in
//! pieces of 1 KiB cost 1.2 s of processor time. Here each byte is looked at once. The fuzz target
//! `sse_framer` holds that no byte is lost and that the same events come wherever frames are cut.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The byte-order mark of UTF-8.
const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// A whole event, by the place of its bytes.
#[derive(Debug)]
pub(crate) enum FramedEvent {
    /// The event lies in the present frame, at this range.
    InFrame(Range<usize>),
    /// The event began in an earlier frame; its bytes are copied together.
    Joined(Bytes),
    /// The LF of the CR LF whose CR, the last byte of an earlier frame, ended the last event. That
    /// event was not held back for it: after a lone CR it would never come.
    Rest(Range<usize>),
}

/// The error of an event that is longer than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OversizeEvent;

/// Finds the ends of events in frames, and keeps at most one unfinished event.
#[derive(Debug)]
pub(crate) struct EventFramer {
    held: BytesMut,
    cap: usize,
    line_empty: bool,
    /// Whether the last frame ended with a CR, to which an LF may come.
    after_cr: bool,
    /// Whether that CR ended an event, so that the LF is its [`FramedEvent::Rest`].
    ended_event: bool,
    /// The bytes of a byte-order mark seen so far; `None` once the start is past.
    mark: Option<usize>,
}

// === impl EventFramer ===

impl EventFramer {
    /// Starts at the beginning of a stream. `cap` is the largest size of an unfinished event in
    /// bytes.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            held: BytesMut::new(),
            cap,
            line_empty: true,
            after_cr: false,
            ended_event: false,
            mark: Some(0),
        }
    }

    /// Hands each event that this frame completes to `take`, in order.
    ///
    /// # Errors
    /// The outer one is `take`'s; the inner one is an unfinished event beyond the cap.
    pub(crate) fn push<E>(
        &mut self,
        frame: &Bytes,
        mut take: impl FnMut(FramedEvent) -> Result<(), E>,
    ) -> Result<Result<(), OversizeEvent>, E> {
        let bytes = &frame[..];
        if bytes.is_empty() {
            return Ok(Ok(()));
        }
        let mut start = self.skip_bom(bytes);
        let mut line = start;
        let mut at = start;
        if std::mem::take(&mut self.after_cr) && bytes.get(at) == Some(&b'\n') {
            // The other half of a CR LF whose CR ended the last frame.
            at += 1;
            line = at;
            if self.ended_event {
                take(FramedEvent::Rest(start..at))?;
                start = at;
            }
        }
        while let Some(found) = memchr2(b'\n', b'\r', &bytes[at..]) {
            let end_of_line = at + found;
            let blank = self.line_empty && end_of_line == line;
            let mut next = end_of_line + 1;
            if bytes[end_of_line] == b'\r' {
                match bytes.get(next) {
                    Some(b'\n') => next += 1,
                    Some(_) => {}
                    None => {
                        self.after_cr = true;
                        self.ended_event = blank;
                    }
                }
            }
            self.line_empty = true;
            line = next;
            at = next;
            if blank {
                let event = if self.held.is_empty() {
                    FramedEvent::InFrame(start..next)
                } else {
                    self.held.extend_from_slice(&bytes[start..next]);
                    FramedEvent::Joined(self.held.split().freeze())
                };
                start = next;
                take(event)?;
            }
        }
        if line < bytes.len() {
            self.line_empty = false;
        }
        self.held.extend_from_slice(&bytes[start..]);
        Ok(if self.held.len() > self.cap {
            Err(OversizeEvent)
        } else {
            Ok(())
        })
    }

    /// Returns the bytes that are left at the end, an event without its blank line.
    pub(crate) fn tail(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Returns the number of bytes of this frame that complete a byte-order mark. A mark that is cut
    /// is kept like any other bytes until it proves to be one.
    fn skip_bom(&mut self, bytes: &[u8]) -> usize {
        let Some(seen) = self.mark else {
            return 0;
        };
        let rest = &BOM[seen..];
        let n = rest.len().min(bytes.len());
        if bytes[..n] != rest[..n] {
            self.mark = None;
            return 0;
        }
        if n < rest.len() {
            self.mark = Some(seen + n);
            return 0;
        }
        self.mark = None;
        self.held.clear();
        self.line_empty = true;
        n
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn split(frames: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut cutter = EventFramer::new(usize::MAX);
        let mut events: Vec<Vec<u8>> = Vec::new();
        for frame in frames {
            let frame = Bytes::copy_from_slice(frame);
            let pushed = cutter.push(&frame, |event| {
                match event {
                    FramedEvent::InFrame(range) => events.push(frame[range].to_vec()),
                    FramedEvent::Joined(bytes) => events.push(bytes.to_vec()),
                    FramedEvent::Rest(range) => {
                        let last = events.last_mut().expect("a rest follows an event");
                        last.extend_from_slice(&frame[range]);
                    }
                }
                Ok::<_, Infallible>(())
            });
            assert_eq!(pushed, Ok(Ok(())));
        }
        let tail = cutter.tail().to_vec();
        (events, tail)
    }

    #[test]
    fn every_line_ending_ends_events() {
        for text in [
            "data: a\n\ndata: b\n\n",
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data: a\r\rdata: b\r\r",
        ] {
            let (events, tail) = split(&[text.as_bytes()]);
            assert_eq!(events.len(), 2, "{text:?}");
            assert_eq!(events.concat(), text.as_bytes());
            assert!(tail.is_empty());
        }
    }

    #[test]
    fn a_mark_is_taken_away_and_a_tail_is_kept() {
        let (events, tail) = split(&[b"\xEF\xBB\xBFdata: a\n\ndata: b"]);
        assert_eq!(events, [b"data: a\n\n".to_vec()]);
        assert_eq!(tail, b"data: b");
    }

    #[test]
    fn an_event_beyond_the_cap_is_told() {
        let mut framer = EventFramer::new(8);
        let frame = Bytes::from_static(b"data: 123456");
        let pushed = framer.push(&frame, |_| Ok::<_, Infallible>(()));
        assert_eq!(pushed, Ok(Err(OversizeEvent)));
    }

    #[test]
    fn a_mark_cut_in_two_is_taken_away_and_half_a_mark_is_not() {
        let text = b"\xEF\xBB\xBFdata: a\n\n";
        for cut in 1..text.len() {
            let (events, _) = split(&[&text[..cut], &text[cut..]]);
            assert_eq!(events, [b"data: a\n\n".to_vec()], "cut at {cut}");
        }
        let (events, tail) = split(&[b"\xEF", b"\xBB", b"data: a\n\n", b"\xEF\xBB\xBF"]);
        assert_eq!(events, [b"\xEF\xBBdata: a\n\n".to_vec()]);
        assert_eq!(tail, b"\xEF\xBB\xBF");
    }

    #[test]
    fn a_line_end_cut_in_two_is_no_rest_where_its_line_was_given_up() {
        let mut framer = EventFramer::new(usize::MAX);
        let mut rests = 0;
        for frame in ["data: a\n\n", "data: b\r", "\n", "\r", "\n"] {
            let frame = Bytes::from_static(frame.as_bytes());
            let pushed = framer.push(&frame, |event| {
                rests += usize::from(matches!(event, FramedEvent::Rest(_)));
                Ok::<_, Infallible>(())
            });
            assert_eq!(pushed, Ok(Ok(())));
            framer.tail();
        }
        assert_eq!(rests, 1, "the blank line alone ended an event");
    }

    #[test]
    fn an_empty_frame_within_a_line_end_changes_nothing() {
        let (events, tail) = split(&[b"data: a\r", b"", b"\ndata: b\r\n\r\n"]);
        assert_eq!(events, [b"data: a\r\ndata: b\r\n\r\n".to_vec()]);
        assert!(tail.is_empty());
    }

    proptest! {
        #[test]
        fn the_same_events_come_wherever_frames_are_cut(
            text in "(data: [a-c]{0,3}|\r\n|[\r\n:x\u{feff}]){0,40}",
            cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut frames = Vec::new();
            let mut from = 0;
            for cut in cuts {
                frames.push(&bytes[from..cut]);
                from = cut;
            }
            frames.push(&bytes[from..]);
            let (found, tail) = split(&frames);
            prop_assert_eq!((&found, &tail), (&split(&[bytes]).0, &split(&[bytes]).1));
            let mut joined = found.concat();
            joined.extend(tail);
            prop_assert_eq!(joined, bytes.strip_prefix(&BOM).unwrap_or(bytes));
        }
    }
}
