//! Texts of others without what a terminal acts on, and of a bounded length.

use std::fmt::Write as _;

use crucible_documents::UnseenCharacter;

/// The most characters of a name and of a value.
const LONGEST: [usize; 2] = [64, 40];

/// A text without characters that a terminal acts on or that a reader does not see: they stand there as escapes.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if UnseenCharacter::of(c).is_some() => {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{:04x}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// The beginning of a name, printable.
pub(super) fn shown_name(name: &str) -> String {
    shortened(name, LONGEST[0])
}

/// The beginning of a value, printable.
pub(super) fn shown_value(raw: &str) -> String {
    shortened(raw, LONGEST[1])
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => printable(text),
        Some((end, _)) => format!("{}\u{2026}", printable(&text[..end])),
    }
}
