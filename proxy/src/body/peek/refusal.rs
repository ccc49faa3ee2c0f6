//! The error of a body that is no JSON object.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::{
    body::scan::JsonFault,
    error::{Error, ErrorKind},
};

/// Returns the error for a refused body. The line and column come from a parser that counts them, which the
/// scanner does not.
pub(super) fn refused(fault: JsonFault, text: &str, max_depth: usize) -> Error {
    if text.trim().is_empty() {
        let message = "the body is empty; send a JSON object with `model` and `messages` (curl: \
                       -d '{\"model\": \"auto\", \"messages\": [...]}')";
        return Error::new(ErrorKind::InvalidJson, message);
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
