//! Problems of a configuration, in words by which a person can mend them at once.

use std::fmt::{self, Write as _};

/// Whether a configuration with a problem can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is not usable.
    Error,
    /// Usable, but a part of it does nothing, such as a variable that nobody reads or a rule for a
    /// model that is not there: `check` refuses it, every other command warns and goes on.
    NoEffect,
    /// Usable, but probably not what was meant.
    Warning,
}

/// One problem: its place, what was found there, what was expected, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// The dotted path of the key, `engine[1].url`; empty for the whole file.
    pub path: String,
    /// The file and line, the variable or the flag that set it; empty where there is none.
    pub source: String,
    /// The words for what was found, shortened; never a secret.
    pub found: String,
    /// The words for what would be right.
    pub expected: String,
    /// One sentence that says what to do; empty where the rest says it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::NoEffect | Severity::Warning => "warning",
        };
        write!(f, "{word}: ")?;
        if !self.source.is_empty() {
            write!(f, "{}: ", self.source)?;
        }
        if !self.path.is_empty() {
            // A key in quotes may hold what would move a terminal's cursor.
            for letter in self.path.chars() {
                if letter.is_control() {
                    write!(f, "{}", letter.escape_default())?;
                } else {
                    f.write_char(letter)?;
                }
            }
            f.write_str(": ")?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// Every problem of one configuration, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether any of them makes the configuration unusable.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    /// Turns every problem of a value without effect into an error, as `crucible check` takes them.
    #[must_use]
    pub fn strict(mut self) -> Self {
        for problem in &mut self.0 {
            if problem.severity == Severity::NoEffect {
                problem.severity = Severity::Error;
            }
        }
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
