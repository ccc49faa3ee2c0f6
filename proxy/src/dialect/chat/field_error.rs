//! Errors that name a field of a chat request by its path, such as `messages[2].role`.

use crate::error::{Error, ErrorKind};

/// The error for a field that has the wrong JSON type.
pub(crate) fn invalid_type(path: &str, expected: &str, found: &str) -> Error {
    Error::new(
        ErrorKind::InvalidType,
        format!("`{path}` must be {expected}, found {found}"),
    )
    .param(path)
}

/// The error for a field whose value cannot be served.
pub(crate) fn unsupported(path: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedValue, message.into()).param(path)
}

/// The error for a field that is needed and absent.
pub(crate) fn missing(path: &str) -> Error {
    Error::new(ErrorKind::MissingField, format!("`{path}` is missing")).param(path)
}
