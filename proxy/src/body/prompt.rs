//! The features of a prompt that the rules of a virtual model may see.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The most bytes of the last user text that rules may see.
const LAST_USER_BYTES: usize = 16 * 1024;

/// The features of a prompt that the rules of a virtual model may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptFeatures {
    /// The text of the last user message in lower case, at most 16 KiB.
    pub last_user: String,
    /// The hash of the first user text, which is stable within a process.
    pub opening: u64,
    /// The hash of the system text before the first user text.
    pub instructions: u64,
    /// Whether an assistant's message is present, so that this is not the first turn.
    pub later_turn: bool,
}

#[derive(Deserialize)]
struct PromptMessage<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

// === impl PromptFeatures ===

impl PromptFeatures {
    /// Reads the messages of a body, a JSON list; those that are malformed are skipped.
    pub(super) fn of(messages: &str) -> Self {
        let mut prompt = Self::default();
        let mut opening = DefaultHasher::new();
        let mut instructions = DefaultHasher::new();
        let messages: Vec<&RawValue> = serde_json::from_str(messages).unwrap_or_default();
        let messages: Vec<PromptMessage<'_>> = messages
            .iter()
            .filter_map(|message| serde_json::from_str(message.get()).ok())
            .collect();
        let mut seen_user = false;
        let mut last = None;
        for said in &messages {
            let content = said.content.map_or("", RawValue::get);
            match said.role.as_deref() {
                Some("assistant") => prompt.later_turn = true,
                Some("system" | "developer") if !seen_user => {
                    text_of(content).hash(&mut instructions);
                }
                Some("user") => {
                    if !seen_user {
                        text_of(content).hash(&mut opening);
                        seen_user = true;
                    }
                    last = Some(content);
                }
                _ => {}
            }
        }
        prompt.opening = opening.finish();
        prompt.instructions = instructions.finish();
        if let Some(content) = last {
            prompt.last_user = bounded(text_of(content)).to_lowercase();
        }
        prompt
    }
}

fn text_of(content: &str) -> String {
    if let Ok(text) = serde_json::from_str::<String>(content) {
        return text;
    }
    let parts: Vec<Value> = serde_json::from_str(content).unwrap_or_default();
    let texts = parts
        .iter()
        .filter_map(|part| part.as_str().or_else(|| part["text"].as_str()));
    texts.collect::<Vec<_>>().join("\n")
}

fn bounded(mut text: String) -> String {
    let end = text.floor_char_boundary(LAST_USER_BYTES);
    text.truncate(end);
    text
}
