//! Errors that name a field of a chat request by its path, such as `messages[2].role`.

use std::fmt::Display;

use crate::error::{Error, ErrorKind};

/// The error for a field that has the wrong JSON type.
pub(crate) fn invalid_type(path: impl Display, expected: &str, found: &str) -> Error {
    Error::new(
        ErrorKind::InvalidType,
        format!("`{path}` must be {expected}, found {found}"),
    )
    .param(path.to_string())
}

/// The error for a field whose value cannot be served.
pub(crate) fn unsupported(path: impl Display, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedValue, message.into()).param(path.to_string())
}

/// The error for a field that is needed and absent.
pub(crate) fn missing(path: impl Display) -> Error {
    Error::new(ErrorKind::MissingField, format!("`{path}` is missing")).param(path.to_string())
}

/// Returns the beginning of a word of a client's, short enough for a message.
pub(crate) fn shown(word: &str) -> String {
    word.chars().take(64).collect()
}
