//! An object within a body, by the ranges of its members.

use std::{borrow::Cow, ops::Range};

use super::scan::{self, JsonMember};

/// The number of brackets that the object may open, one in the other.
const DEPTH: usize = 512;

/// The members of an object: the name of each, and the ranges of its key and value in the text.
#[derive(Debug, Default)]
pub(crate) struct JsonObject<'a> {
    /// The text of the object, from its opening brace on.
    pub(crate) text: &'a str,
    /// The members in the order of the text: the unescaped name, the range of the key with its
    /// quotes, and the range of the value.
    pub(crate) members: Vec<(Cow<'a, str>, Range<usize>, Range<usize>)>,
}

// === impl JsonObject ===

impl<'a> JsonObject<'a> {
    /// Reads an object; `None` where the text is none.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
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

    /// Returns the range in the text of the member at a place, with the comma that goes with it.
    pub(crate) fn with_comma(&self, at: usize) -> Range<usize> {
        let (_, key, value) = &self.members[at];
        match self.members.get(at + 1) {
            Some((_, next, _)) => key.start..next.start,
            None if at > 0 => self.members[at - 1].2.end..value.end,
            None => key.start..value.end,
        }
    }

    /// Returns the value of a name; of two with the same name the last one counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let mut found = self.members.iter().rev();
        let (_, _, value) = found.find(|(is, ..)| is == name)?;
        Some(&self.text[value.clone()])
    }
}
