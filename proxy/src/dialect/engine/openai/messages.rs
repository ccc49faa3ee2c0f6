//! Messages for engines that speak OpenAI's chat completions themselves.
//!
//! What such an engine refuses of a conversation, although its meaning is plain, is written in the way
//! that the engine reads; every other byte stays. llama.cpp's server (b11434, tried) refuses a message
//! without `content`, a part that is no `text`, a text that is null, a member `name`,
//! `reasoning_content` or `tool_call_id` that is null, a call without a type or without arguments, and
//! arguments that are no JSON. LM Studio runs the same templates and fails on nulls (reported), and vLLM
//! reads the arguments too. Any of them may stand behind an address that is only known to speak OpenAI.

mod calls;
mod editor;
mod parts;

use std::collections::HashSet;

use serde_json::value::RawValue;

use self::editor::MessageEditor;
use super::quirks::OpenAiQuirks;
use crate::{body::object::JsonObject, dialect::engine::messages::arguments};

/// The messages of a request for one kind of engine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RewrittenMessages {
    /// The list as it is sent; `None` where it may stay.
    pub(super) list: Option<String>,
    /// Sentences for the header `x-crucible-note`.
    pub(super) notes: Vec<String>,
    /// Ids of the tool calls in the messages.
    pub(super) call_ids: HashSet<String>,
}

/// Rewrites a list of messages for engines with these quirks. A text that is no list passes.
pub(super) fn rewrite_messages(raw: &str, quirks: &OpenAiQuirks) -> RewrittenMessages {
    let Ok(messages) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return RewrittenMessages::default();
    };
    let mut editor = MessageEditor::new(raw, quirks);
    for message in messages {
        editor.message(message.get());
    }
    let mut notes = Vec::new();
    if editor.rewritten_arguments > 0 {
        notes.push(arguments::note(editor.rewritten_arguments));
    }
    if editor.has_rewritten_parts {
        notes.push("parts of messages that the engine does not know are sent as text".to_owned());
    }
    if editor.has_rewritten_images {
        notes.push("images are sent as plain data URLs".to_owned());
    }
    RewrittenMessages {
        list: editor.spliced(),
        notes,
        call_ids: editor.call_ids,
    }
}

// === impl MessageEditor ===

impl<'a> MessageEditor<'a> {
    /// Rewrites one message: its content, its nulls, its ids and its tool calls.
    fn message(&mut self, text: &'a str) {
        let Some(message) = JsonObject::of(text) else {
            return;
        };
        let assistant = message.get("role") == Some(r#""assistant""#);
        let calls = message.get("tool_calls").filter(|raw| *raw != "null");
        match message.get("content") {
            // As OpenAI's own API writes it beside a call.
            None | Some("null") if assistant && calls.is_some() => {}
            None => self.add(&message, r#""content":"""#),
            Some(null @ "null") => self.set(null, r#""""#.to_owned()),
            Some(parts) if parts.starts_with(['[', '{']) => {
                self.content(&message, parts, assistant);
            }
            Some(_) => {}
        }
        self.drop_nulls(&message, &["content"]);
        self.quote(message.get("tool_call_id"));
        if let Some(calls) = calls
            && let Ok(calls) = serde_json::from_str::<Vec<&RawValue>>(calls)
        {
            for call in calls {
                self.call(call.get());
            }
        }
    }
}

#[cfg(test)]
mod tests;
