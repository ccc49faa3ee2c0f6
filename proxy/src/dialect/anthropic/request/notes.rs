//! What a client is told about its request: the sentences of `x-crucible-note`, each once.

use std::{borrow::Cow, collections::BTreeSet};

/// The most types that a note names: it stands in a header, and a client may make up any number of them.
const MOST_KINDS: usize = 8;

/// What was left out or changed while a request was read.
#[derive(Debug, Default)]
pub(super) struct MessagesNotes {
    sentences: Vec<Cow<'static, str>>,
    /// Types of blocks of Anthropic's own servers, which no engine could read.
    blocks: BTreeSet<String>,
    /// Types of tools that only Anthropic's servers or models know.
    tools: BTreeSet<String>,
}

// === impl MessagesNotes ===

impl MessagesNotes {
    pub(super) fn say(&mut self, sentence: impl Into<Cow<'static, str>>) {
        let sentence = sentence.into();
        if !self.sentences.contains(&sentence) {
            self.sentences.push(sentence);
        }
    }

    /// Notes that a block of this type is left out.
    pub(super) fn drop_block(&mut self, kind: &str) {
        add(&mut self.blocks, kind);
    }

    /// Notes that a tool of this type is not offered.
    pub(super) fn drop_tool(&mut self, kind: &str) {
        add(&mut self.tools, kind);
    }

    /// Returns all sentences.
    pub(super) fn all(self) -> Vec<Cow<'static, str>> {
        let mut all = self.sentences;
        let mut add = |kinds: BTreeSet<String>, sentence: &str| {
            if !kinds.is_empty() {
                let kinds: Vec<String> = kinds.into_iter().collect();
                all.push(format!("{sentence} ({})", kinds.join(", ")).into());
            }
        };
        add(self.blocks, "blocks that no engine reads are left out");
        add(self.tools, "tools that are Anthropic's own are not offered");
        all
    }
}

fn add(kinds: &mut BTreeSet<String>, kind: &str) {
    if kinds.len() < MOST_KINDS {
        kinds.insert(printable(kind));
    }
}

/// A word of the client that may stand in a header.
fn printable(word: &str) -> String {
    word.chars()
        .filter(char::is_ascii_graphic)
        .take(40)
        .collect()
}
