//! The problems of one reading, while they are gathered.

use crate::problem::{Problem, Problems, Severity};

/// The problems of one reading, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct ProblemReport(Vec<Problem>);

impl ProblemReport {
    /// Adds an error at the key `path`, set at `source` (a file and line, a variable or a flag):
    /// the words for what was found and what is expected, and a hint that may be empty.
    pub(crate) fn error(
        &mut self,
        path: &str,
        source: &str,
        found: &str,
        expected: &str,
        hint: &str,
    ) {
        self.push(Severity::Error, path, source, found, expected, hint);
    }

    /// Adds the finding that a value is readable and changes nothing, with the same words as an
    /// error.
    pub(crate) fn no_effect(
        &mut self,
        path: &str,
        source: &str,
        found: &str,
        expected: &str,
        hint: &str,
    ) {
        self.push(Severity::NoEffect, path, source, found, expected, hint);
    }

    /// Adds a warning, with the same words as an error; the configuration is used all the same.
    pub(crate) fn warn(
        &mut self,
        path: &str,
        source: &str,
        found: &str,
        expected: &str,
        hint: &str,
    ) {
        self.push(Severity::Warning, path, source, found, expected, hint);
    }

    fn push(
        &mut self,
        severity: Severity,
        path: &str,
        source: &str,
        found: &str,
        expected: &str,
        hint: &str,
    ) {
        self.0.push(Problem {
            severity,
            path: path.to_owned(),
            source: source.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
            hint: hint.to_owned(),
        });
    }

    /// Whether something was already said about this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|problem| problem.path == path)
    }

    /// Returns the problems in the order of the file; those without a line come last.
    pub(crate) fn finish(mut self) -> Problems {
        let line = |p: &Problem| {
            p.source
                .rsplit_once(':')
                .and_then(|(_, n)| n.parse::<usize>().ok())
                .unwrap_or(usize::MAX)
        };
        self.0.sort_by_key(line);
        Problems(self.0)
    }
}
