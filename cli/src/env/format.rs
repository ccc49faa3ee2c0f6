//! The forms in which `crucible env` writes an environment.

use clap::ValueEnum;

/// The reader of the environment, which decides about its syntax and its quoting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EnvironmentFormat {
    /// A drop-in of the unit (Linux)
    Systemd,
    /// An agent's property list (macOS)
    Launchd,
    /// Commands for the user's environment (Windows)
    Powershell,
    /// NAME=value lines
    Dotenv,
}
