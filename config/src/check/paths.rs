//! The reading of paths as people write them: `~` stands for the home folder, and likely slips are
//! reported.

use std::path::{Path, PathBuf};

use crate::{
    home,
    keys::KeyPath,
    kind,
    settings::{ProblemReport, Settings},
};

/// Reads the path at a key, with the home folder in place of `~`; `None` where it is not set.
pub(super) fn path(
    settings: &Settings,
    at: &KeyPath<Option<String>>,
    report: &mut ProblemReport,
) -> Option<PathBuf> {
    let text = settings.find(at)?;
    Some(read(settings, at, &text, report))
}

/// Reads the words of a command. The program and words that begin with `~` are read as paths;
/// another word may also be a script of several lines.
pub(super) fn command(
    settings: &Settings,
    at: &KeyPath<Vec<String>>,
    report: &mut ProblemReport,
) -> Vec<String> {
    let words = settings.get(at, report).into_iter().enumerate();
    let read = |(i, word): (usize, String)| {
        let is_plain = !word.contains(char::is_control);
        let is_path = if i == 0 {
            word.starts_with('~') || !is_plain
        } else {
            word.starts_with('~') && is_plain
        };
        if is_path {
            let path = read(settings, at, &word, report);
            path.to_string_lossy().into_owned()
        } else {
            word
        }
    };
    words.map(read).collect()
}

fn read(settings: &Settings, at: &str, text: &str, report: &mut ProblemReport) -> PathBuf {
    let path = Path::new(text);
    let source = settings.source(at);
    if text.contains(char::is_control) {
        let hint = "between double quotes a backslash begins an escape; write a Windows path \
                    between single quotes";
        let expected = "a path without control characters";
        report.error(at, &source, &kind::quoted(text), expected, hint);
    } else if home::is_of_somebody(path) {
        let hint = "only ~ alone is the home folder; write the other one out";
        report.error(at, &source, &kind::quoted(text), "a path", hint);
    }
    home::expand(path)
}
