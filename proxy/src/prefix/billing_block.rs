//! Claude Code's block of accounting in a chat request, as another proxy passes it on.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;

use crate::body::object::JsonObject;

/// The beginning of the block, as a JSON string.
const BEGINNING: &[u8] = b"\"x-anthropic-billing-header:";
/// The search for it, whose preparation takes longer than the search.
static SEARCH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BEGINNING));
/// The bytes of the messages within which the block stands, if it is there at all.
const WITHIN: usize = 2048;

/// Reports whether a JSON string begins with the block.
pub(crate) fn begins_with_block(string: &str) -> bool {
    string.as_bytes().starts_with(BEGINNING)
}

/// Finds the block at the beginning of the messages: the first part of the first system message, or the
/// first lines of its text up to the prompt itself.
pub(super) fn in_messages(messages: &[u8]) -> Option<&[u8]> {
    let beginning = &messages[..messages.len().min(WITHIN)];
    SEARCH.find(beginning)?;
    let list: Vec<&RawValue> = serde_json::from_slice(messages).ok()?;
    let first = JsonObject::of(list.first()?.get())?;
    let role = first.get("role")?;
    if role != "\"system\"" && role != "\"developer\"" {
        return None;
    }
    let content = first.get("content")?;
    if content.starts_with('"') {
        return lines(content);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content).ok()?;
    let part = parts.first()?.get();
    let text = JsonObject::of(part)?.get("text")?;
    let block = lines(text)?;
    match parts.get(1) {
        // The part is nothing else, and others come behind it.
        Some(next) if block.len() + 2 == text.len() => {
            let start = part.as_ptr().addr() - content.as_ptr().addr();
            let end = next.get().as_ptr().addr() - content.as_ptr().addr();
            content.as_bytes().get(start..end)
        }
        _ => Some(block),
    }
}

/// Returns the block of a JSON string that begins with it, up to the text behind its line.
fn lines(string: &str) -> Option<&[u8]> {
    const LINE_BREAK: &str = "\\n";
    if !begins_with_block(string) {
        return None;
    }
    let inner = string.get(1..string.len() - 1)?;
    let end = inner.find(LINE_BREAK).map_or(inner.len(), |end| {
        let rest = &inner[end..];
        inner.len() - rest.trim_start_matches(LINE_BREAK).len()
    });
    inner.as_bytes().get(..end)
}
