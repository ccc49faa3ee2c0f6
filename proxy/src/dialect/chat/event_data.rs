//! The data of chat events: whole events go in, the text of each one's data comes out.

use std::borrow::Cow;

use crate::sse::event;

/// Calls `take` with the data of each event in `events`, which are whole.
pub(crate) fn each<E>(events: &[u8], mut take: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let mut rest = events;
    while !rest.is_empty() {
        // As nearly every engine writes them: one line, and a blank one.
        if let Some(line) = rest.strip_prefix(b"data: ")
            && let Some(end) = memchr::memchr2(b'\n', b'\r', line)
            && line.get(end..end + 2) == Some(b"\n\n")
        {
            take(&text(&line[..end]))?;
            rest = &line[end + 2..];
            continue;
        }
        let end = end_of_event(rest);
        if let Some((_, data)) = event::read(&rest[..end]) {
            take(&data)?;
        }
        rest = &rest[end..];
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Returns the place behind the blank line that ends the first event, or the end of the bytes.
fn end_of_event(events: &[u8]) -> usize {
    let mut at = 0;
    let mut is_blank = true;
    while let Some(byte) = events.get(at) {
        at += 1;
        match byte {
            b'\r' | b'\n' => {
                if *byte == b'\r' && events.get(at) == Some(&b'\n') {
                    at += 1;
                }
                if std::mem::replace(&mut is_blank, true) {
                    return at;
                }
            }
            _ => is_blank = false,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_event_is_read() {
        let all = "data: a\n\n: comment\n\ndata:b\r\n\r\n\ndata: c\ndata: d\n\nevent: x\rdata: e\r\rdata: f";
        let mut read = Vec::new();
        each(all.as_bytes(), |data| {
            read.push(data.to_owned());
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(read, ["a", "b", "c\nd", "e", "f"]);
    }
}
