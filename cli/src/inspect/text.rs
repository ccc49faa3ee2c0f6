//! Moments, sizes and texts of others as a terminal shows them.

use std::io::{IsTerminal as _, stdout};

use bytesize::ByteSize;
use jiff::tz::TimeZone;

pub(super) use crate::output::plain;
use crate::output::{for_terminal, time_of_day};

/// The time of day of a moment in milliseconds since 1970, in this machine's time zone.
pub(super) fn local_time(at_ms: u64) -> String {
    time_of_day(at_ms, &TimeZone::system())
}

/// A number of bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    ByteSize::b(bytes).display().iec().to_string()
}

/// A text of others as it is; on a terminal with `�` for each character that hides, turns text or steers it.
pub(super) fn raw(text: &str) -> String {
    for_terminal(text, stdout().is_terminal()).into_owned()
}

/// The first characters of a text, and a mark where there are more.
pub(super) fn beginning(text: &str, most: usize) -> (&str, &'static str) {
    match text.char_indices().nth(most) {
        None => (text, ""),
        Some((end, _)) => (&text[..end], " [...]"),
    }
}
