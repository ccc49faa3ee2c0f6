//! The sentences for `x-crucible-note` about one request.

use std::borrow::Cow;

/// The number of a client's words that one note names.
const MOST_WORDS: usize = 8;

/// The notes on a request, each said once.
#[derive(Debug, Default)]
pub(super) struct OllamaNotes {
    /// True on every engine.
    pub(super) always: Vec<Cow<'static, str>>,
    /// True where the request is translated for an engine that is no Ollama.
    pub(super) translated: Vec<Cow<'static, str>>,
}

// === impl OllamaNotes ===

impl OllamaNotes {
    /// Notes what becomes of a request on every engine.
    pub(super) fn say(&mut self, note: impl Into<Cow<'static, str>>) {
        add(&mut self.always, note.into());
    }

    /// Notes what a request loses where its engine is no Ollama.
    pub(super) fn loses(&mut self, note: impl Into<Cow<'static, str>>) {
        add(&mut self.translated, note.into());
    }
}

fn add(notes: &mut Vec<Cow<'static, str>>, note: Cow<'static, str>) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// Returns the first of a client's words, each as [`shown`], and the number of those that are left out.
pub(super) fn listed(words: &[String]) -> String {
    let named = words[..words.len().min(MOST_WORDS)].join(", ");
    match words.len().saturating_sub(MOST_WORDS) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Returns the beginning of a client's word, fit for a header.
pub(super) fn shown(word: &str) -> String {
    word.chars()
        .filter(|c| !c.is_control() && c.is_ascii())
        .take(32)
        .collect()
}
