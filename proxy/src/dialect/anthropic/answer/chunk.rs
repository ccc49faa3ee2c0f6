//! The members of chat events and of whole chat completions that a message is made of.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::dialect::engine::messages::part::MessagePart;

/// A chat event, or a whole completion.
#[derive(Debug, Deserialize)]
pub(super) struct ChatChunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<ChatChoice<'a>>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    /// llama.cpp's own.
    #[serde(borrow, default)]
    pub(super) timings: Option<&'a RawValue>,
}

/// One of the choices of a chat event or completion; only the first one becomes a message.
#[derive(Debug, Deserialize)]
pub(super) struct ChatChoice<'a> {
    #[serde(borrow, default, alias = "message")]
    pub(super) delta: Option<ChatPiece<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    /// vLLM's name for the stop sequence that ended the answer, or for the token.
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) index: Option<u64>,
}

/// A piece of an answer, or a whole one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ChatPiece<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<ChatCall<'a>>>,
}

/// A tool call, or a piece of one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ChatCall<'a> {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<ChatFunction<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct ChatFunction<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// Returns the JSON of a text that is not empty.
fn text(raw: Option<&RawValue>) -> Option<&str> {
    let raw = raw?.get();
    (raw.len() > 2 && raw.starts_with('"')).then_some(raw)
}

// === impl ChatChoice ===

impl ChatChoice<'_> {
    /// Returns the reason of the end; `None` where there is none yet or it is no string.
    pub(super) fn finish(&self) -> Option<String> {
        serde_json::from_str(self.finish_reason?.get()).ok()
    }
}

// === impl ChatChunk ===

impl<'a> ChatChunk<'a> {
    /// Reads the JSON of an event; `None` where it is no chat event.
    pub(super) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Takes the first answer; others were not asked for.
    pub(super) fn take_choice(&mut self) -> Option<ChatChoice<'a>> {
        let choices = self.choices.take()?;
        choices
            .into_iter()
            .find(|choice| choice.index.unwrap_or(0) == 0)
    }
}

// === impl ChatPiece ===

impl<'a> ChatPiece<'a> {
    /// Returns the JSON of the text; a list of parts, in which some servers answer, is joined.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        if let Some(text) = text(self.content) {
            return Some(text.into());
        }
        let raw = self.content?.get();
        if !raw.starts_with('[') {
            return None;
        }
        let parts: Vec<Value> = serde_json::from_str(raw).ok()?;
        let texts = parts.iter().filter_map(|part| match MessagePart::of(part) {
            MessagePart::Text(text) => Some(text),
            _ => None,
        });
        let joined: String = texts.collect();
        (!joined.is_empty()).then(|| Value::from(joined).to_string().into())
    }

    /// Returns the JSON of the thinking.
    pub(super) fn thinking(&self) -> Option<&'a str> {
        text(self.reasoning_content)
    }

    /// Returns the JSON of a refusal in words.
    pub(super) fn refusal(&self) -> Option<&'a str> {
        text(self.refusal)
    }
}

// === impl ChatCall ===

impl<'a> ChatCall<'a> {
    /// Returns the JSON of the id.
    pub(super) fn id(&self) -> Option<&'a str> {
        text(self.id)
    }

    /// Returns the JSON of the name.
    pub(super) fn name(&self) -> Option<&'a str> {
        text(self.function.as_ref()?.name)
    }

    /// Returns the JSON of the arguments, which may be of any type.
    pub(super) fn arguments(&self) -> Option<&'a str> {
        let raw = self.function.as_ref()?.arguments?.get();
        (raw != "null" && raw != "\"\"").then_some(raw)
    }
}
