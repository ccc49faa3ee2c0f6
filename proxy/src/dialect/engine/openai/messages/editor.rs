//! The edits of a list of messages, as splices of its text.

use std::{borrow::Cow, collections::HashSet, ops::Range};

use crate::{body::object::JsonObject, dialect::engine::openai::quirks::OpenAiQuirks};

/// The edits of a list of messages so far.
pub(super) struct MessageEditor<'a> {
    /// The JSON of the list.
    list: &'a str,
    /// The peculiarities of the engine, which decide what has to be edited.
    pub(super) quirks: &'a OpenAiQuirks,
    /// Ranges of the list, and the text that takes their place.
    splices: Vec<(Range<usize>, String)>,
    /// The number of calls whose arguments were no JSON object.
    pub(super) rewritten_arguments: usize,
    /// Whether parts of a message's content were rewritten.
    pub(super) has_rewritten_parts: bool,
    /// Whether images were rewritten.
    pub(super) has_rewritten_images: bool,
    /// Ids of the tool calls in the messages.
    pub(super) call_ids: HashSet<String>,
}

// === impl MessageEditor ===

impl<'a> MessageEditor<'a> {
    /// Makes an editor of the JSON `list` of messages without any edit yet.
    pub(super) fn new(list: &'a str, quirks: &'a OpenAiQuirks) -> Self {
        Self {
            list,
            quirks,
            splices: Vec::new(),
            rewritten_arguments: 0,
            has_rewritten_parts: false,
            has_rewritten_images: false,
            call_ids: HashSet::new(),
        }
    }

    /// Returns the range of a piece of the list in it.
    fn place(&self, piece: &str) -> Range<usize> {
        let start = piece.as_ptr().addr() - self.list.as_ptr().addr();
        start..start + piece.len()
    }

    /// Replaces a piece of the list.
    pub(super) fn set(&mut self, piece: &str, json: String) {
        self.splices.push((self.place(piece), json));
    }

    /// Adds a member behind the last one of an object.
    pub(super) fn add(&mut self, object: &JsonObject<'_>, member: &str) {
        let end = self.place(object.text).end - 1;
        let comma = if object.members.is_empty() { "" } else { "," };
        self.splices.push((end..end, format!("{comma}{member}")));
    }

    /// Removes the members of an object that are null, but for some.
    pub(super) fn drop_nulls(&mut self, object: &JsonObject<'_>, but: &[&str]) {
        let start = self.place(object.text).start;
        let goes = |(name, _, value): &(Cow<'_, str>, Range<usize>, Range<usize>)| {
            &object.text[value.clone()] == "null" && !but.contains(&&**name)
        };
        let kept = object.members.iter().filter(|member| !goes(member)).count();
        if kept == 0 {
            return;
        }
        let mut before = 0;
        for (at, member) in object.members.iter().enumerate() {
            if !goes(member) {
                before += 1;
                continue;
            }
            let (_, key, value) = member;
            // With the comma behind it, or, where nothing is left behind it, with the one before.
            let place = if before == kept && at > 0 {
                object.members[at - 1].2.end..value.end
            } else {
                let next = object.members.get(at + 1);
                key.start..next.map_or(value.end, |next| next.1.start)
            };
            self.splices
                .push((start + place.start..start + place.end, String::new()));
        }
    }

    /// Returns the edited list; `None` where nothing is edited.
    pub(super) fn spliced(&mut self) -> Option<String> {
        if self.splices.is_empty() {
            return None;
        }
        self.splices.sort_by_key(|(place, _)| place.start);
        let mut out = String::with_capacity(self.list.len() + 64);
        let mut from = 0;
        for (place, json) in &self.splices {
            out.push_str(&self.list[from..place.start]);
            out.push_str(json);
            from = place.end;
        }
        out.push_str(&self.list[from..]);
        Some(out)
    }
}
