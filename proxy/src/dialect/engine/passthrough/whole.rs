//! A whole answer that passes as the engine wrote it.

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde_json::Value;

use super::answer_event;
use crate::{
    dialect::{
        chat::SharedFormat,
        engine::engine_error::{error_in_success, not_an_answer},
    },
    error::Error,
    usage::Usage,
};

/// A whole answer in a client format, read for its counts, and its bytes.
pub(crate) struct PassedAnswer {
    bytes: Bytes,
    value: Value,
    format: SharedFormat,
}

// === impl PassedAnswer ===

impl PassedAnswer {
    /// Reads the answer of an engine of this kind.
    ///
    /// # Errors
    /// The bytes are an engine's error, or no answer in this format.
    pub(crate) fn read(
        kind: EngineKind,
        format: SharedFormat,
        bytes: Bytes,
    ) -> Result<Self, Error> {
        if let Some(error) = error_in_success(kind, &bytes) {
            return Err(error);
        }
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|_| not_an_answer(kind, &bytes))?;
        let answers = match format {
            SharedFormat::Messages => value["content"].is_array(),
            SharedFormat::Responses => value["output"].is_array() && value["status"] != "failed",
        };
        if !answers {
            return Err(not_an_answer(kind, &bytes));
        }
        Ok(Self {
            bytes,
            value,
            format,
        })
    }

    /// Reports whether the answer calls tools.
    pub(crate) fn calls_tools(&self) -> bool {
        let parts = match self.format {
            SharedFormat::Messages => &self.value["content"],
            SharedFormat::Responses => &self.value["output"],
        };
        let mut parts = parts.as_array().into_iter().flatten();
        parts.any(|part| part["type"].as_str().is_some_and(answer_event::is_call))
    }

    /// Returns the model that the answer names as the one that gave it.
    pub(crate) fn model(&self) -> Option<String> {
        self.value["model"].as_str().map(str::to_owned)
    }

    /// Returns the answer for the client, and the engine's counts.
    pub(crate) fn into_parts(self) -> (Bytes, Option<Usage>) {
        let usage = answer_event::usage(self.format, &self.value["usage"]);
        (self.bytes, usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: SharedFormat, text: &'static str) -> Result<PassedAnswer, Error> {
        PassedAnswer::read(
            EngineKind::Llamacpp,
            format,
            Bytes::from_static(text.as_bytes()),
        )
    }

    #[test]
    fn an_answer_is_read_for_its_counts_and_passes() {
        let message = r#"{"type":"message","model":"m","content":[{"type":"tool_use","id":"a"}],"usage":{"input_tokens":3,"cache_read_input_tokens":9,"output_tokens":5}, "z":1.0}"#;
        let response = r#"{"object":"response","model":"m","status":"completed","output":[{"type":"message"}],"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":9},"output_tokens":5}}"#;
        for (format, text, calls) in [
            (SharedFormat::Messages, message, true),
            (SharedFormat::Responses, response, false),
        ] {
            let answer = read(format, text).unwrap();
            assert_eq!(answer.calls_tools(), calls);
            assert_eq!(answer.model().as_deref(), Some("m"));
            let (bytes, usage) = answer.into_parts();
            let usage = usage.unwrap();
            assert_eq!(bytes, text);
            assert_eq!(
                (usage.prompt, usage.cached, usage.completion),
                (12, Some(9), 5)
            );
        }
    }

    #[test]
    fn an_error_in_a_success_and_another_formats_answer_are_refused() {
        for (text, said) in [
            (
                r#"{"error":{"message":"the GPU is gone"}}"#,
                "the GPU is gone",
            ),
            (
                r#"{"type":"error","error":{"type":"api_error","message":"the GPU is gone"}}"#,
                "the GPU is gone",
            ),
            (
                r#"{"choices":[{"message":{"content":"hi"}}]}"#,
                "not the JSON",
            ),
            ("<html>", "page for a browser"),
        ] {
            let error = read(SharedFormat::Messages, text).err().unwrap();
            assert!(error.message.contains(said), "{text}: {error}");
        }
    }
}
