//! The rows of an account.

use clap::ValueEnum;

/// The property of a request by which the account has its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageGrouping {
    /// The name of the client's key
    Key,
    /// The program that asked, by its User-Agent
    Client,
    /// The engine and its model
    Model,
    /// The day on which the request came, in this machine's time zone
    Day,
}

// === impl UsageGrouping ===

impl UsageGrouping {
    /// Returns the word that stands for it on the command line, in tables and in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Client => "client",
            Self::Model => "model",
            Self::Day => "day",
        }
    }
}
