//! The failure of a command.

/// An exit code other than 0, with the text for stderr.
#[derive(Debug)]
pub struct CommandFailure {
    /// The exit code of the process.
    pub code: u8,
    /// The text that is written to stderr.
    pub text: String,
}

// === impl CommandFailure ===

impl CommandFailure {
    /// Makes a failure with exit code 1: something is wrong with what was examined.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            text: text.into(),
        }
    }

    /// Makes a failure with exit code 2: wrong usage or configuration.
    pub fn usage(text: impl Into<String>) -> Self {
        Self {
            code: 2,
            text: text.into(),
        }
    }
}
