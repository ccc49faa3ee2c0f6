//! The chat request that is written for a request of Ollama's API.

use std::fmt::Write as _;

use bytes::Bytes;

/// The body of a chat request as it grows. Values are raw JSON, so that they keep the client's bytes.
pub(super) struct TranslatedBody(String);

// === impl TranslatedBody ===

impl TranslatedBody {
    /// Begins a body with room for a prompt of so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes + 512);
        text.push('{');
        Self(text)
    }

    /// Adds a member, where it has a value.
    pub(super) fn set(&mut self, name: &str, raw: Option<&str>) {
        let Some(raw) = raw else {
            return;
        };
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(self.0, r#"{comma}"{name}":{raw}"#);
    }

    /// Returns the body.
    pub(super) fn finish(mut self) -> Bytes {
        self.0.push('}');
        self.0.into()
    }
}
