//! Errors in Ollama's form, `{"error": "text"}` (0.33, `api/types.go`, `StatusError`).

use bytes::Bytes;
use serde_json::json;

use super::one_line;
use crate::error::{Error, ErrorKind};

/// Returns the document of an error. Clients of Ollama read a text there and nothing else, so that the field
/// that is wrong stands in the text, where it does not name it already.
pub(super) fn document(error: &Error) -> Bytes {
    json!({ "error": message(error) }).to_string().into()
}

/// Returns the last line of a stream that an error ends.
pub(super) fn line(error: &Error) -> Bytes {
    let mut line = json!({ "error": message(error) }).to_string();
    one_line::join(&mut line, 0);
    line.push('\n');
    line.into()
}

fn message(error: &Error) -> String {
    if error.kind == ErrorKind::ModelNotFound && !error.message.contains("not found") {
        // Clients look for these words of Ollama's.
        return format!("model not found: {}", error.message);
    }
    match &error.param {
        Some(param) if !error.message.contains(param.as_str()) => {
            format!("{param}: {}", error.message)
        }
        _ => error.message.clone().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_text_in_a_document_or_in_a_line() {
        let error = Error::new(ErrorKind::ModelNotFound, "model \"x\" is not there").param("model");
        let text = r#"{"error":"model not found: model \"x\" is not there"}"#;
        assert_eq!(document(&error), text);
        assert_eq!(line(&error), format!("{text}\n"));
        let own = Error::new(ErrorKind::ModelNotFound, "model 'x' not found").param("model");
        assert_eq!(document(&own), r#"{"error":"model 'x' not found"}"#);
        let odd = Error::new(ErrorKind::EngineError, "a\u{2028}b\n");
        assert_eq!(line(&odd), "{\"error\":\"a\\u2028b\\n\"}\n");
    }

    #[test]
    fn a_field_that_the_text_does_not_name_is_named_before_it() {
        let error = Error::new(ErrorKind::InvalidType, "expected a number, found a string")
            .param("options.num_ctx");
        assert_eq!(
            document(&error),
            r#"{"error":"options.num_ctx: expected a number, found a string"}"#
        );
    }
}
