//! An object within the messages, by the ranges of its members.

use std::{borrow::Cow, ops::Range};

use crate::body::scan::{self, JsonMember};

/// The number of brackets that a message may open, one in the other.
const DEPTH: usize = 512;

/// The members of an object: the name of each, and the ranges of its key and value in the text.
pub(super) struct MessageObject<'a> {
    pub(super) text: &'a str,
    pub(super) members: Vec<(Cow<'a, str>, Range<usize>, Range<usize>)>,
}

// === impl MessageObject ===

impl<'a> MessageObject<'a> {
    /// Reads an object; `None` where the text is none.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let mut members = Vec::with_capacity(8);
        scan::object(text, DEPTH, |member: JsonMember| {
            let key = &text[member.key.clone()];
            let plain = key.trim_matches('"');
            let name = if plain.contains('\\') {
                Cow::Owned(serde_json::from_str(key).unwrap_or_default())
            } else {
                plain.into()
            };
            members.push((name, member.key, member.value));
        })
        .ok()?;
        Some(Self { text, members })
    }

    /// Returns the value of a name; of two with the same name the last one counts.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let mut found = self.members.iter().rev();
        let (_, _, value) = found.find(|(is, ..)| is == name)?;
        Some(&self.text[value.clone()])
    }
}
