//! The lines of one event of a stream, as far as they are looked at without parsing its data.

use memchr::memmem;

use crate::{dialect::chat::event_keys::value_at, sse::event};

/// Reports whether an event has data, not only comments and blank lines.
pub(super) fn has_data(event: &[u8]) -> bool {
    let mut lines = event.split(|b| matches!(b, b'\n' | b'\r'));
    // As nearly every event does.
    event.starts_with(b"data") || lines.any(|line| line.starts_with(b"data"))
}

/// Reports whether the data of an event opens a JSON object, as every event of an answer does.
pub(super) fn is_object(event: &[u8]) -> bool {
    let line = event.strip_prefix(b"data:").map(<[u8]>::trim_ascii_start);
    if line.is_some_and(|line| line.starts_with(b"{")) {
        return true;
    }
    event::read(event).is_some_and(|(_, data)| data.trim_ascii_start().starts_with('{'))
}

/// Reports whether an event has a `text` that is not empty.
pub(super) fn has_text(event: &[u8]) -> bool {
    const WORD: &[u8] = b"\"text\"";
    memmem::find_iter(event, WORD).any(|at| {
        let value = value_at(event, at + WORD.len());
        value.is_some_and(|text| text.starts_with(b"\"") && !text.starts_with(b"\"\""))
    })
}

/// Returns the text of a field `error`, which no standard knows and llama.cpp's server had once.
pub(super) fn error_line(event: &[u8]) -> Option<String> {
    let mut lines = event.split(|b| matches!(b, b'\n' | b'\r'));
    let data = lines.find_map(|line| line.strip_prefix(b"error:"))?;
    Some(String::from_utf8_lossy(data).trim().to_owned())
}

/// Reports whether an event is named `error`, whatever its data and the lines before.
pub(super) fn is_named_error(event: &[u8]) -> bool {
    event
        .split(|b| matches!(b, b'\n' | b'\r'))
        .filter_map(|line| line.strip_prefix(b"event:"))
        .any(|name| name.trim_ascii_start().starts_with(b"error"))
}
