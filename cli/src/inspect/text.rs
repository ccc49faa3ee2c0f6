//! Moments, sizes and texts of others as a terminal shows them.

use std::io::{IsTerminal as _, stdout};

use bytesize::ByteSize;
use jiff::{Timestamp, tz::TimeZone};

/// The time of day of a moment in milliseconds since 1970, here.
pub(super) fn clock(ms: u64) -> String {
    let at = i64::try_from(ms).ok();
    let at = at.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.map(|at| TimeZone::system().to_datetime(at));
    at.map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
}

/// A number of bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    ByteSize::b(bytes).display().iec().to_string()
}

/// A text of others on one line, without characters that a terminal acts on.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_acting(c) || c == '\n' { ' ' } else { c })
        .collect()
}

/// A text of others as it is; on a terminal without characters that it acts on.
pub(super) fn raw(text: &str) -> String {
    if !stdout().is_terminal() {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if is_acting(c) { '\u{fffd}' } else { c })
        .collect()
}

fn is_acting(c: char) -> bool {
    let is_space = matches!(c, '\n' | '\t');
    let turns_or_hides = matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() && !is_space || turns_or_hides
}
