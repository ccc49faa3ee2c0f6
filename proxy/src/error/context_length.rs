//! The words for a prompt that does not fit.
//!
//! Clients tell by these words that a conversation must become shorter: the first sentences are
//! `OpenAI`'s, to the letter, and Crucible's hint stands behind them. Clients of Anthropic's format know
//! other words, which are made of the same numbers.

use std::fmt::Write as _;

use super::{Error, ErrorKind, too_long_prompt::TooLongPrompt};

/// The numbers of a request that is longer than the context that it can have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMuch {
    /// The tokens of context that it can have; `None` where nobody told.
    pub(crate) limit: Option<u64>,
    /// The tokens of the prompt.
    pub(crate) prompt: u64,
    /// The tokens that are kept for the answer.
    pub(crate) completion: u64,
}

// === impl TooMuch ===

impl TooMuch {
    /// The error for the client; `hint` says what the limit is and what to do.
    pub(crate) fn error(self, hint: &str) -> Error {
        let requested = self.prompt.saturating_add(self.completion);
        let limit = match self.limit {
            Some(limit) => limit.to_string(),
            None => format!("less than {requested}"),
        };
        let mut text = format!(
            "This model's maximum context length is {limit} tokens. However, you requested \
             {requested} tokens ({} in the messages, {} in the completion). Please reduce the \
             length of the messages.",
            self.prompt, self.completion
        );
        let hint_at = text.len();
        if !hint.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, " {hint}");
        }
        let limit = self.limit.unwrap_or_else(|| requested.saturating_sub(1));
        let alone = self.prompt > limit;
        let mut error = Error::new(ErrorKind::ContextLengthExceeded, text).param("messages");
        error.too_long = Some(Box::new(TooLongPrompt {
            requested: if alone { self.prompt } else { requested },
            limit,
            hint_at,
        }));
        error
    }
}

// === impl Error ===

impl Error {
    /// Returns the words of Anthropic's API for a prompt that is too long ("prompt is too long: 5000
    /// tokens > 4096 maximum"), with Crucible's hint behind them; `None` for every other error.
    pub(crate) fn too_long_in_short(&self) -> Option<String> {
        let TooLongPrompt {
            requested,
            limit,
            hint_at,
        } = **self.too_long.as_ref()?;
        let hint = self.message.get(hint_at..).unwrap_or_default();
        let stop = if hint.is_empty() { "" } else { "." };
        Some(format!(
            "prompt is too long: {requested} tokens > {limit} maximum{stop}{hint}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_its_parts() {
        let error = TooMuch {
            limit: Some(4096),
            prompt: 4200,
            completion: 100,
        }
        .error("Ask another.");
        assert_eq!(
            error.message,
            "This model's maximum context length is 4096 tokens. However, you requested 4300 tokens \
             (4200 in the messages, 100 in the completion). Please reduce the length of the \
             messages. Ask another."
        );
        assert_eq!(error.param.as_deref(), Some("messages"));
        let unknown = TooMuch {
            limit: None,
            prompt: 1,
            completion: 2,
        };
        assert!(
            unknown
                .error("")
                .message
                .starts_with("This model's maximum context length is less than 3 tokens. However")
        );
    }
}
