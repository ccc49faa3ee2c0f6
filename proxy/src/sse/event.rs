//! The data of one whole event, read by `eventsource-stream`.
//!
//! That crate (0.2.3) is quadratic over events that come in pieces, panics on a byte-order mark
//! and ends at the first invalid UTF-8 byte. Fed exactly one complete event in lossy UTF-8, it is
//! linear and none of these can happen.

use std::convert::Infallible;

use bytes::Bytes;
use eventsource_stream::EventStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::de::IgnoredAny;

/// Returns the name and the data of an event; `None` for comments and blank lines.
pub(crate) fn read(event: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(event);
    // A blank line left over from a CR LF cut in two would end the event before it began.
    let mut text = text.trim_start_matches(['\r', '\n', '\u{feff}']).to_owned();
    text.push_str("\n\n");
    let once = stream::iter([Ok::<_, Infallible>(Bytes::from(text))]);
    let mut events = EventStream::new(once);
    let event = events.next().now_or_never()??.ok()?;
    Some((event.event, event.data))
}

/// Reports whether the tail of a stream is an event whose data is JSON that is not cut.
pub(crate) fn is_whole(tail: &[u8]) -> bool {
    read(tail).is_some_and(|(_, data)| serde_json::from_str::<IgnoredAny>(&data).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_in_every_spelling() {
        for (event, data) in [
            ("data: {\"a\":1}\n\n", "{\"a\":1}"),
            ("data:{\"a\":1}\r\n\r\n", "{\"a\":1}"),
            ("\ndata: x\r\r", "x"),
            ("\u{feff}data: x\n\n", "x"),
            ("event: error\nid: 7\ndata: x\ndata: y\n\n", "x\ny"),
            ("data: x", "x"),
        ] {
            assert_eq!(read(event.as_bytes()).unwrap().1, data, "{event:?}");
        }
        assert_eq!(read(b"event: error\ndata: x\n\n").unwrap().0, "error");
    }

    #[test]
    fn comments_and_bad_utf8_are_no_trouble() {
        assert_eq!(read(b": keep-alive\n\n"), None);
        assert_eq!(read(b"\n\n"), None);
        assert_eq!(read(b"data: a\xFFb\n\n").unwrap().1, "a\u{fffd}b");
    }
}
