//! The error of a body that is no JSON object.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::{
    body::scan::JsonFault,
    error::{Error, ErrorKind},
};

/// Refuses an empty body of a request that needs these members, each with a sample of its value.
///
/// # Errors
/// `invalid_json`, with the members that are needed.
pub(crate) fn not_empty(body: &[u8], needed: &[(&str, &str)]) -> Result<(), Error> {
    if !body.trim_ascii().is_empty() {
        return Ok(());
    }
    let names: Vec<String> = needed.iter().map(|(name, _)| format!("`{name}`")).collect();
    let sample: Vec<String> = needed
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    let message = format!(
        "the body is empty; send a JSON object with `model` and {} (curl: -d '{{\"model\": \"auto\", {}}}')",
        names.join(" and "),
        sample.join(", ")
    );
    Err(Error::new(ErrorKind::InvalidJson, message))
}

/// Returns the error for a refused body. The line and column come from a parser that counts them, which the
/// scanner does not.
pub(super) fn refused(fault: JsonFault, text: &str, max_depth: usize) -> Error {
    if text.trim().is_empty() {
        return Error::new(
            ErrorKind::InvalidJson,
            "the body is empty; send a JSON object",
        );
    }
    let message = match (fault, serde_json::from_str::<IgnoredAny>(text)) {
        (JsonFault::Depth, _) => {
            format!("the body is nested deeper than {max_depth} (limits.json_depth)")
        }
        (JsonFault::Syntax, Ok(_)) => "the body must be a JSON object".to_owned(),
        (JsonFault::Syntax, Err(error)) => {
            let what = match error.classify() {
                Category::Eof => "the body ends in the middle of its JSON",
                _ => "the body is not valid JSON",
            };
            format!("{what}, line {} column {}", error.line(), error.column())
        }
    };
    Error::new(ErrorKind::InvalidJson, message)
}
