//! The assistant's message that is being written from several items.

/// The thoughts, the text and the calls of one turn of an assistant, in this order, in which models
/// write them and templates render them.
#[derive(Debug, Default)]
pub(super) struct AssistantTurn {
    /// The inside of a JSON string.
    thoughts: String,
    /// JSON.
    content: Option<String>,
    /// The calls as JSON, joined by commas.
    calls: String,
}

// === impl AssistantTurn ===

impl AssistantTurn {
    pub(super) const fn is_empty(&self) -> bool {
        self.thoughts.is_empty() && !self.has_content()
    }

    /// Reports whether a text or a call is there, after which thoughts or a text belong to another
    /// message.
    pub(super) const fn has_content(&self) -> bool {
        self.content.is_some() || !self.calls.is_empty()
    }

    pub(super) fn thought(&mut self, text: &str) {
        if !self.thoughts.is_empty() {
            self.thoughts.push_str(super::content::GAP);
        }
        self.thoughts.push_str(text);
    }

    pub(super) fn content(&mut self, json: String) {
        self.content = Some(json);
    }

    pub(super) fn call(&mut self, json: &str) {
        if !self.calls.is_empty() {
            self.calls.push(',');
        }
        self.calls.push_str(json);
    }

    /// Returns the message as JSON and begins anew; `None` where there is nothing to send. Thoughts
    /// alone are not sent.
    pub(super) fn take(&mut self) -> Option<String> {
        let Self {
            thoughts,
            content,
            calls,
        } = std::mem::take(self);
        if content.is_none() && calls.is_empty() {
            return None;
        }
        let content = content.as_deref().unwrap_or(r#""""#);
        let mut message = format!(r#"{{"role":"assistant","content":{content}"#);
        if !thoughts.is_empty() {
            message.push_str(r#","reasoning_content":""#);
            message.push_str(&thoughts);
            message.push('"');
        }
        if !calls.is_empty() {
            message.push_str(r#","tool_calls":["#);
            message.push_str(&calls);
            message.push(']');
        }
        message.push('}');
        Some(message)
    }
}
