//! Moments, sizes and texts of others as a terminal shows them.

use std::io::{IsTerminal as _, stdout};

use bytesize::ByteSize;
use crucible_documents::UnseenCharacter;
use jiff::tz::TimeZone;

use crate::output::time_of_day;

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

/// A text of others on one line, with a space for each character that hides, turns text or steers a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_deceptive(c) || c == '\n' { ' ' } else { c })
        .collect()
}

/// A text of others as it is; on a terminal with `�` for each character that hides, turns text or steers it.
pub(super) fn raw(text: &str) -> String {
    if !stdout().is_terminal() {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if is_deceptive(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Returns whether a character is kept from a terminal. Line feeds and tabs lay a text out, and joiners and variation
/// selectors belong to the writing of many languages: those stay.
fn is_deceptive(c: char) -> bool {
    match UnseenCharacter::of(c) {
        None | Some(UnseenCharacter::Shaping) => false,
        Some(UnseenCharacter::Control) => !matches!(c, '\n' | '\t'),
        Some(UnseenCharacter::Turning | UnseenCharacter::Hidden) => true,
    }
}
