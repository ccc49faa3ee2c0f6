//! The place where two pieces differ, with some characters around it. Excerpts are short and printable whatever the
//! texts are.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{parts::PromptPiece, printable::printable};

/// The characters that are shown before and behind the place.
const AROUND: [usize; 2] = [20, 28];

/// The first difference of two pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FirstDifference {
    /// The first character that differs, beginning with 1; `None` for a piece that has no counterpart.
    pub(super) character: Option<usize>,
    /// The bytes of the new piece's JSON that are the same.
    pub(super) same_bytes: usize,
    /// The old text there.
    pub(super) before: String,
    /// The new text there.
    pub(super) after: String,
}

/// The text of a message that is nothing but text.
#[derive(Deserialize)]
struct TextOnly<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

/// A part of a message.
#[derive(Deserialize)]
struct TextPart<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

// === impl FirstDifference ===

impl FirstDifference {
    /// Finds where two pieces differ: in their texts, or else in their JSON.
    pub(super) fn of(old: &PromptPiece<'_>, new: &PromptPiece<'_>) -> Self {
        let same_bytes = common(old.raw, new.raw);
        let texts = text_of(old.raw).zip(text_of(new.raw));
        let texts = texts.filter(|(old, new)| old != new);
        let (old, new) = match &texts {
            Some((old, new)) => (&**old, &**new),
            None => (old.raw, new.raw),
        };
        let at = common(old, new);
        Self {
            character: Some(new[..at].chars().count() + 1),
            same_bytes,
            before: around(old, at),
            after: around(new, at),
        }
    }

    /// Shows a piece that only the old prompt has.
    pub(super) fn gone(old: &PromptPiece<'_>) -> Self {
        let text = text_of(old.raw);
        Self {
            before: around(text.as_deref().unwrap_or(old.raw), 0),
            ..Self::default()
        }
    }

    /// Shows a piece that only the new prompt has.
    pub(super) fn come(new: &PromptPiece<'_>) -> Self {
        let text = text_of(new.raw);
        Self {
            after: around(text.as_deref().unwrap_or(new.raw), 0),
            ..Self::default()
        }
    }
}

/// The bytes that two texts begin with, whole characters only.
fn common(old: &str, new: &str) -> usize {
    /// The bytes that are compared at once.
    const BLOCK: usize = 4096;
    let blocks = old
        .as_bytes()
        .chunks(BLOCK)
        .zip(new.as_bytes().chunks(BLOCK));
    let same = blocks.take_while(|(old, new)| old == new);
    let start: usize = same.map(|(old, _)| old.len()).sum();
    let rest = old.as_bytes()[start..].iter().zip(&new.as_bytes()[start..]);
    let at = start + rest.take_while(|(old, new)| old == new).count();
    old.floor_char_boundary(at).min(new.floor_char_boundary(at))
}

/// The text of a piece: of a JSON string, or of a message whose content is text.
fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') {
        return serde_json::from_str(raw).ok();
    }
    if let Ok(part) = serde_json::from_str::<TextPart<'_>>(raw) {
        return Some(part.text);
    }
    let message: TextOnly<'_> = serde_json::from_str(raw).ok()?;
    let content = message.content.get();
    if content.starts_with('"') {
        return serde_json::from_str(content).ok();
    }
    let parts: Vec<TextPart<'_>> = serde_json::from_str(content).ok()?;
    let texts: Vec<&str> = parts.iter().map(|part| &*part.text).collect();
    Some(texts.join("\n").into())
}

/// The characters around a place.
fn around(text: &str, at: usize) -> String {
    let (before, behind) = text.split_at(at);
    let start = before.char_indices().rev().nth(AROUND[0] - 1);
    let start = start.map_or(0, |(start, _)| start);
    let end = behind.char_indices().nth(AROUND[1]);
    let end = end.map_or(text.len(), |(end, _)| at + end);
    let mut shown = printable(&text[start..end]);
    if start > 0 {
        shown.insert(0, '\u{2026}');
    }
    if end < text.len() {
        shown.push('\u{2026}');
    }
    shown
}
