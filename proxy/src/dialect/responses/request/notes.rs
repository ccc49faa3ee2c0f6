//! Notes on what a request loses while it is read, each said once.

use crate::dialect::chat::field_error::shown;
use std::borrow::Cow;

/// The most kinds of items and parts that a note names.
const MOST_KINDS: usize = 8;

/// Sentences for the header `x-crucible-note`, and the kinds of what is dropped.
#[derive(Debug, Default)]
pub(super) struct RequestNotes {
    sentences: Vec<Cow<'static, str>>,
    tools: Vec<String>,
    items: Vec<String>,
    parts: Vec<String>,
}

// === impl RequestNotes ===

impl RequestNotes {
    pub(super) fn say(&mut self, sentence: impl Into<Cow<'static, str>>) {
        let sentence = sentence.into();
        if !self.sentences.contains(&sentence) {
            self.sentences.push(sentence);
        }
    }

    /// Notes a tool that only OpenAI's own servers run.
    pub(super) fn dropped_tool(&mut self, kind: &str) {
        add(&mut self.tools, kind);
    }

    pub(super) fn dropped_item(&mut self, kind: &str) {
        add(&mut self.items, kind);
    }

    /// Returns the types of the items that are dropped, joined by commas.
    pub(super) fn dropped_items(&self) -> String {
        self.items.join(", ")
    }

    pub(super) fn dropped_part(&mut self, kind: &str) {
        add(&mut self.parts, kind);
    }

    pub(super) fn into_sentences(mut self) -> Vec<Cow<'static, str>> {
        for (what, kinds) in [
            ("tools", self.tools),
            ("input items", self.items),
            ("parts of content", self.parts),
        ] {
            if !kinds.is_empty() {
                let kinds = kinds.join(", ");
                let said = format!("{what} of type {kinds} are dropped: no engine here knows them");
                self.sentences.push(said.into());
            }
        }
        self.sentences
    }
}

/// Adds a kind. Only what can stand in a header is kept of it.
fn add(kinds: &mut Vec<String>, kind: &str) {
    let is_plain = |letter: &char| letter.is_ascii_graphic() && *letter != ';' && *letter != ',';
    let kind: String = shown(kind).chars().filter(is_plain).collect();
    if kinds.len() < MOST_KINDS && !kinds.contains(&kind) {
        kinds.push(kind);
    }
}
