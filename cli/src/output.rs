//! Writing to stdout and stderr. A closed pipe is not an error.

mod plain_text;

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::OnceLock,
};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

pub(crate) use self::plain_text::{for_terminal, plain};
use crate::CommandFailure;

/// The first error of a write to stdout other than a closed pipe.
static STDOUT_ERROR: OnceLock<String> = OnceLock::new();

/// Returns a number with its noun: `1 load`, `3 loads`.
pub(crate) fn plural(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Writes a text and a line feed to stdout; names in it cannot steer a terminal. An error is kept for
/// [`stdout_error`].
pub fn write_stdout(text: &str) {
    let mut out = io::stdout().lock();
    let text = for_terminal(text, out.is_terminal());
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

/// Writes a text and a line feed to stderr; names in it cannot steer a terminal. Errors are ignored, since there is
/// nowhere to report them.
pub fn write_stderr(text: &str) {
    let mut out = io::stderr().lock();
    let text = for_terminal(text.trim_end(), out.is_terminal());
    let _ = writeln!(out, "{text}");
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

/// Returns the rows as text with columns aligned by spaces, each row on one line whatever is in its cells. The first row
/// is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell: &String| cell.width())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| {
            let room = width.saturating_sub(cell.width());
            format!("{cell}{:room$}", "")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
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
    fn a_row_is_one_line_and_its_columns_stand_below_each_other_whatever_a_name_holds() {
        let rows = ["evil\u{1b}[31m\nx", "模型"].map(|name| vec![name.to_owned(), "1".to_owned()]);
        assert_eq!(table(&rows), "evil [31m x  1\n模型         1");
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
