//! Writing to stdout and stderr. A closed pipe is not an error.

use std::{
    io::{self, Write as _},
    sync::OnceLock,
};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::CommandFailure;

/// The first error of a write to stdout other than a closed pipe.
static STDOUT_ERROR: OnceLock<String> = OnceLock::new();

/// Writes a text and a line feed to stdout. An error is kept for [`stdout_error`].
pub fn write_stdout(text: &str) {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    note_error(written);
}

/// Returns why stdout lacks a part of the output, for example because of a full disk under a
/// redirection; `None` where all was written.
pub fn stdout_error() -> Option<&'static str> {
    STDOUT_ERROR.get().map(String::as_str)
}

/// Returns a document as JSON on one line.
///
/// # Errors
/// The document cannot be serialised, which no document of Crucible should meet.
pub fn to_json(document: &impl Serialize) -> Result<String, CommandFailure> {
    serde_json::to_string(document).map_err(|e| CommandFailure::wrong(e.to_string()))
}

/// Writes a text and a line feed to stderr. Errors are ignored, since there is nowhere to report
/// them.
pub fn write_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Writes bytes to stdout as they are, without a line feed behind them.
pub fn write_stdout_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    note_error(written);
}

/// Keeps an error for [`stdout_error`].
fn note_error(written: io::Result<()>) {
    // `crucible models | head -1` closes the pipe: nothing is left to tell anybody.
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = STDOUT_ERROR.set(error.to_string());
    }
}

/// Returns a client as queues tell it apart; of a program that gives no name its address alone: `127.0.0.1`.
pub fn client_name(client: &str) -> &str {
    client.strip_prefix('@').unwrap_or(client)
}

/// Returns the time of day of a moment given in milliseconds since 1970: `14:03:59`, and `--:--:--` for one that no
/// calendar has.
pub(crate) fn time_of_day(at_ms: u64, zone: &TimeZone) -> String {
    let at = i64::try_from(at_ms).ok();
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(
        || "--:--:--".to_owned(),
        |at| zone.to_datetime(at).strftime("%H:%M:%S").to_string(),
    )
}

/// Returns the rows as text with columns aligned by spaces. The first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|c| {
            rows.iter()
                .filter_map(|row| row.get(c))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".into(), "bb".into()],
            vec!["ccc".into(), "d".into()],
        ];
        assert_eq!(table(&rows), "a    bb\nccc  d");
    }

    #[test]
    fn a_time_of_day_is_that_of_its_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        for (at_ms, here, there) in [
            (0, "00:00:00", "05:00:00"),
            (1_795_906_799_999, "22:59:59", "03:59:59"),
            (u64::MAX, "--:--:--", "--:--:--"),
        ] {
            assert_eq!(time_of_day(at_ms, &TimeZone::UTC), here);
            assert_eq!(time_of_day(at_ms, &zone), there);
        }
    }
}
