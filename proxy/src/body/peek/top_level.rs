//! The visitor of a scan that keeps what is known of the top level of a body.

use std::ops::Range;

use super::known_keys::{Repeat, known_key};
use crate::body::{
    scan::{JsonMember, MemberVisitor},
    weight::{MemberStrings, PromptWeight},
};

/// The top level of a body, as far as it has been scanned.
#[derive(Default)]
pub(super) struct TopLevel<'a> {
    /// The whole JSON text of the body.
    pub(super) text: &'a str,
    /// The members under known keys so far, each key once.
    pub(super) fields: Vec<PeekedField>,
    /// Ranges of the members whose value is null, each with its key.
    pub(super) nulls: Vec<Range<usize>>,
    /// The number of members so far.
    pub(super) members: usize,
    /// The first key that stands twice although it may not.
    pub(super) duplicate: Option<&'static str>,
    /// The weight of the prompt, as far as it has been scanned.
    pub(super) weight: PromptWeight,
    /// Ranges of the elements of `messages`.
    pub(super) messages: Vec<Range<usize>>,
    /// The strings of the member that is being scanned.
    strings: MemberStrings,
    /// Ranges of its elements, where it is a list.
    elements: Vec<Range<usize>>,
}

/// A member of the top level under a known key.
#[derive(Clone, Debug)]
pub(crate) struct PeekedField {
    /// The known key, without quotes.
    pub(crate) name: &'static str,
    /// The place where the key begins, with its quote.
    pub(crate) key: usize,
    /// The byte range of the value.
    pub(crate) value: Range<usize>,
}

// === impl TopLevel ===

impl<'a> TopLevel<'a> {
    /// Starts the scan of a body: no member has been seen.
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            fields: Vec::with_capacity(16),
            ..Self::default()
        }
    }
}

impl MemberVisitor for &mut TopLevel<'_> {
    fn member(&mut self, member: JsonMember) {
        self.members += 1;
        if &self.text[member.value.clone()] == "null" {
            self.nulls.push(member.key.start..member.value.end);
        }
        let strings = std::mem::take(&mut self.strings);
        let elements = std::mem::take(&mut self.elements);
        let Some((name, repeat)) = known_key(&self.text[member.key.clone()]) else {
            return;
        };
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            if repeat == Repeat::LastCounts {
                field.key = member.key.start;
                field.value = member.value;
            } else {
                self.duplicate.get_or_insert(name);
            }
            return;
        }
        if &self.text[member.value.clone()] != "null" {
            self.weight.add(name, &member, elements.len(), strings);
        }
        if name == "messages" {
            self.messages = elements;
        }
        self.fields.push(PeekedField {
            name,
            key: member.key.start,
            value: member.value,
        });
    }

    fn element(&mut self, value: Range<usize>) {
        self.elements.push(value);
    }

    fn string(&mut self, inside: Range<usize>, is_key: bool) {
        self.strings.pass(&self.text.as_bytes()[inside], is_key);
    }
}
