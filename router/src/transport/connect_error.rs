//! The reasons why an engine could not be connected to.

use std::{error::Error as StdError, fmt};

/// The reason why there is no connection, in words for a person and without an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Nobody listens there: the system refused the connection.
    Refused(String),
    /// There was no connection in time, or it broke before it was ready.
    Failed(String),
    /// The engine's certificate is not accepted, or it speaks no TLS. It holds what is wrong and, after a
    /// semicolon, what mends it.
    Tls(String),
}

/// The beginning of the text of [`ConnectError::Tls`].
const INSECURE: &str = "no secure connection: ";

/// Splits the text of a [`ConnectError::Tls`] into the fault and the step that mends it; `None` for
/// the text of every other error.
pub fn tls_trouble(error: &str) -> Option<(&str, &str)> {
    let (_, trouble) = error.split_once(INSECURE)?;
    Some(trouble.split_once("; ").unwrap_or((trouble, "")))
}

// === impl ConnectError ===

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Failed(text) => f.write_str(text),
            Self::Tls(text) => write!(f, "{INSECURE}{text}"),
        }
    }
}

impl StdError for ConnectError {}
