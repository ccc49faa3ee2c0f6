//! Writing to a terminal or a pipe; a pipe that closed is not an error.

use std::{
    io::{self, Write as _},
    sync::OnceLock,
};

use serde::Serialize;

use crate::CommandFailure;

/// Why something did not get to stdout.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// One line or text on stdout.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    // `crucible models | head -1` closes the pipe: nothing is left to tell anybody.
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = UNWRITTEN.set(error.to_string());
    }
}

/// Why stdout does not have all that was said, such as a full disk under a redirection.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}

/// A document as JSON on one line.
///
/// # Errors
/// It cannot be serialised, which no document of ours should meet.
pub fn to_json(document: &impl Serialize) -> Result<String, CommandFailure> {
    serde_json::to_string(document).map_err(|e| CommandFailure::wrong(e.to_string()))
}

/// One line or text on stderr.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Columns aligned by spaces; the first row is the heading.
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
}
