//! The sentences for `x-crucible-note` about one request.

use std::borrow::Cow;

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
