//! Texts of others without what a terminal acts on, and of a bounded length.

use std::fmt::Write as _;

/// The most characters of a name and of a value.
const LONGEST: [usize; 2] = [64, 40];

/// Whether a character has no width or changes the direction of what stands around it, so that a reader would not see
/// it, or would see another text.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A text without characters that a terminal acts on or that a reader does not see: they stand there as escapes.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() || is_invisible(c) => {
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
