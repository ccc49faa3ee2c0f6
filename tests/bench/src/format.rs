//! The client formats in which the load asks: the path, the body, and the end of a stream.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A client format of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// OpenAI's Chat Completions.
    #[default]
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

// === impl Format ===

impl Format {
    /// Returns the path that is asked.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// Returns a request with a system prompt and one user text.
    pub(crate) fn request(self, model: &str, stream: bool, prompt: &str) -> Value {
        const SYSTEM: &str = "You are a helpful assistant.";
        let mut request = match self {
            Self::Chat => json!({
                "model": model,
                "messages": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": prompt},
                ],
                "max_tokens": 512,
            }),
            Self::Responses => json!({
                "model": model,
                "instructions": SYSTEM,
                "input": [{"role": "user", "content": prompt}],
                "max_output_tokens": 512,
            }),
            Self::Messages => json!({
                "model": model,
                "system": SYSTEM,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": 512,
            }),
        };
        if stream {
            request["stream"] = json!(true);
        }
        request
    }

    /// Reports whether the last bytes of a stream, at least 16 of them, are its proper end.
    pub(crate) fn ends(self, tail: &[u8]) -> bool {
        let tail = tail.trim_ascii_end();
        match self {
            Self::Chat => tail.ends_with(b"data: [DONE]"),
            // The whole answer stands in the last event, after its name.
            Self::Responses => tail.ends_with(b"}}"),
            Self::Messages => tail.ends_with(b"message_stop\"}"),
        }
    }
}
