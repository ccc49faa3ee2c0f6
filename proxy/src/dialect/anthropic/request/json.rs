//! Texts of the client's JSON in Anthropic's format: their quotes, their bounds and how errors show them.

use crate::{
    body::peek::found,
    dialect::chat::{
        field_error::{self, invalid_type},
        field_path::FieldPath,
        json_text::inner,
    },
    error::Error,
};

/// The most bytes that an id or a name may have; Anthropic's own bounds are below it.
const LONGEST_NAME: usize = 256;

/// Returns the JSON of a text, with its quotes.
///
/// # Errors
/// `invalid_type` with the path, where the value is no text.
pub(super) fn text<'a>(raw: &'a str, at: FieldPath<'_>) -> Result<&'a str, Error> {
    if raw.starts_with('"') {
        Ok(raw)
    } else {
        Err(invalid_type(at, "a string", found(raw)))
    }
}

/// Returns the JSON of the text that has these escapes.
pub(super) fn with_quotes(inside: &str) -> String {
    format!("\"{inside}\"")
}

/// Returns a text of the client for an error or a header: bounded and printable.
pub(super) fn shown(raw: &str) -> String {
    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The error for a value that cannot be served; the message is what follows the path.
pub(super) fn unsupported(at: FieldPath<'_>, why: &str) -> Error {
    field_error::unsupported(at, format!("`{at}` {why}"))
}

/// Refuses the JSON of an id or a name that is empty or longer than any that a client makes.
pub(super) fn bounded(text: &str, at: FieldPath<'_>) -> Result<(), Error> {
    match inner(text).len() {
        0 => Err(unsupported(at, "is empty")),
        1..=LONGEST_NAME => Ok(()),
        length => Err(unsupported(
            at,
            &format!("has {length} bytes; the most is {LONGEST_NAME}"),
        )),
    }
}
