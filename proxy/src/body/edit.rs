//! Edits of a body by splicing: every byte outside an edited member stays as it was.
//!
//! Key order, number text and unknown fields survive, so an engine's prefix cache stays warm. Written by
//! hand because every library parses the body and writes it anew, which loses these and costs 3 to 5
//! times as much (245 KB: 1.7 ms against 0.46 ms; `docs/decisions/bytes-are-spliced.md`). The fuzz target
//! `json_splice` holds that no edit changes another member.
//!
//! ```
//! use bytes::Bytes;
//! use crucible::body::{edit::{BodyEdit, NewValue, apply}, peek::PeekedBody};
//!
//! let body = Bytes::from_static(br#"{"x": 1.50, "model": "a"}"#);
//! let peek = PeekedBody::of(&body, 64)?;
//! let edits = [
//!     BodyEdit::Set("model", NewValue::Text("b")),
//!     BodyEdit::Default("temperature", NewValue::Number(0.3)),
//! ];
//! let sent = apply(&body, &peek, &edits);
//! assert_eq!(sent, br#"{"x": 1.50, "model": "b","temperature":0.3}"#[..]);
//! # Ok::<(), crucible::error::Error>(())
//! ```

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use super::peek::PeekedBody;

/// One edit of a known top-level key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyEdit<'a> {
    /// Sets the key, whatever was there.
    Set(&'static str, NewValue<'a>),
    /// Sets the key where it is absent or null.
    Default(&'static str, NewValue<'a>),
    /// Takes the key out.
    Remove(&'static str),
    /// Sets `stream_options.include_usage` to true.
    IncludeUsage,
    /// Takes out every member that is null, known or not, unless an edit before this one sets it.
    RemoveNulls,
}

/// The value to which a key is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NewValue<'a> {
    /// The text of any JSON value.
    Raw(&'a str),
    /// A string, which is written with quotes and escapes.
    Text(&'a str),
    /// A number; one that JSON cannot write becomes `null`.
    Number(f64),
}

/// The text that takes the place of some bytes.
struct ByteSplice<'a> {
    place: Range<usize>,
    text: SpliceText<'a>,
}

enum SpliceText<'a> {
    Nothing,
    Value(NewValue<'a>),
    /// A new member, at the end of the object.
    Member(&'static str, NewValue<'a>),
    /// The value of `stream_options`, written anew.
    Options(String),
}

/// The splices of the edits so far.
struct SpliceList<'a> {
    body: &'a [u8],
    peek: &'a PeekedBody,
    splices: Vec<ByteSplice<'a>>,
    /// Ranges of the members that go, each with its key.
    removals: Vec<Range<usize>>,
}

/// Applies edits, each key at most once. The same `Bytes` are returned where nothing changes.
pub fn apply(body: &Bytes, peek: &PeekedBody, edits: &[BodyEdit<'_>]) -> Bytes {
    let mut list = SpliceList {
        body,
        peek,
        splices: Vec::with_capacity(edits.len()),
        removals: Vec::new(),
    };
    for edit in edits {
        match *edit {
            BodyEdit::Set(name, new) => list.set(name, new),
            BodyEdit::Default(name, new) => list.fill(name, new),
            BodyEdit::Remove(name) => list.remove(name),
            BodyEdit::RemoveNulls => list.remove_nulls(),
            BodyEdit::IncludeUsage => list.include_usage(),
        }
    }
    let SpliceList {
        mut splices,
        removals,
        ..
    } = list;
    let members = peek.shape().0 - removals.len();
    splices.extend(member_ranges(body, removals).into_iter().map(|place| {
        let text = SpliceText::Nothing;
        ByteSplice { place, text }
    }));
    if splices.is_empty() {
        return body.clone();
    }
    splices.sort_by_key(|splice| splice.place.start);
    splice(body, members, &splices)
}

// === impl SpliceList ===

impl<'a> SpliceList<'a> {
    /// Replaces the value in a range.
    fn value(&mut self, place: &Range<usize>, new: NewValue<'a>) {
        self.splices.push(ByteSplice {
            place: place.clone(),
            text: SpliceText::Value(new),
        });
    }

    /// Adds a member at the end of the object.
    fn member(&mut self, name: &'static str, new: NewValue<'a>) {
        let (_, close) = self.peek.shape();
        self.splices.push(ByteSplice {
            place: close..close,
            text: SpliceText::Member(name, new),
        });
    }

    fn set(&mut self, name: &'static str, new: NewValue<'a>) {
        match self.peek.field(name) {
            Some(field) if new.is(&self.body[field.value.clone()]) => {}
            Some(field) => self.value(&field.value, new),
            None => self.member(name, new),
        }
    }

    fn fill(&mut self, name: &'static str, new: NewValue<'a>) {
        match self.peek.field(name) {
            Some(field) if &self.body[field.value.clone()] == b"null" => {
                self.value(&field.value, new);
            }
            Some(_) => {}
            None => self.member(name, new),
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(field) = self.peek.field(name) {
            self.removals.push(field.key..field.value.end);
        }
    }

    /// Removes each null that no edit before has set or removed.
    fn remove_nulls(&mut self) {
        let left = |null: &&Range<usize>| {
            let is_set = self
                .splices
                .iter()
                .any(|s| !s.place.is_empty() && s.place.end == null.end);
            !is_set && !self.removals.contains(null)
        };
        let left: Vec<_> = self.peek.nulls().iter().filter(left).cloned().collect();
        self.removals.extend(left);
    }

    fn include_usage(&mut self) {
        const NAME: &str = "stream_options";
        const USAGE: NewValue<'static> = NewValue::Raw(r#"{"include_usage":true}"#);
        match (self.peek.raw(self.body, NAME), self.peek.field(NAME)) {
            (Some(raw), Some(field)) => {
                self.splices
                    .extend(with_usage(raw).map(|options| ByteSplice {
                        place: field.value.clone(),
                        text: SpliceText::Options(options),
                    }));
            }
            (None, Some(field)) => self.value(&field.value, USAGE),
            (_, None) => self.member(NAME, USAGE),
        }
    }
}

/// Widens each member to its comma: the one before it, or the one after for a leading run.
fn member_ranges(body: &[u8], mut removals: Vec<Range<usize>>) -> Vec<Range<usize>> {
    removals.sort_by_key(|range| range.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(removals.len());
    let mut leading: Option<Range<usize>> = None;
    for range in removals {
        let before = body[..range.start].trim_ascii_end().len();
        let preceded = body.get(before.wrapping_sub(1)) == Some(&b',');
        match (&mut leading, preceded) {
            (None, false) => leading = Some(range),
            // The run's comma stands right behind it: this member belongs to the run.
            (Some(run), true) if body[run.end..before - 1].trim_ascii().is_empty() => {
                run.end = range.end;
            }
            _ => out.push(before - 1..range.end),
        }
    }
    if let Some(mut run) = leading {
        let rest = &body[run.end..];
        let space = rest.len() - rest.trim_ascii_start().len();
        if rest.get(space) == Some(&b',') {
            run.end += space + 1;
        }
        out.push(run);
    }
    out
}

/// Writes the body with its splices; `members` of the object stay.
fn splice(body: &[u8], mut members: usize, splices: &[ByteSplice<'_>]) -> Bytes {
    let extra: usize = splices.iter().map(|splice| splice.text.room()).sum();
    let mut out = Vec::with_capacity(body.len() + extra);
    let mut at = 0;
    for splice in splices {
        out.extend_from_slice(&body[at..splice.place.start]);
        at = splice.place.end;
        match &splice.text {
            SpliceText::Nothing => {}
            SpliceText::Value(new) => new.write(&mut out),
            SpliceText::Options(options) => out.extend_from_slice(options.as_bytes()),
            SpliceText::Member(name, new) => {
                out.extend_from_slice(if members == 0 { b"\"" } else { b",\"" });
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                new.write(&mut out);
                members += 1;
            }
        }
    }
    out.extend_from_slice(&body[at..]);
    out.into()
}

/// Returns `stream_options` with `include_usage: true`; `None` where it has it already or is no
/// object.
fn with_usage(raw: &str) -> Option<String> {
    let mut options: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw).ok()?;
    if options.get("include_usage") == Some(&true.into()) {
        return None;
    }
    options.insert("include_usage".to_owned(), true.into());
    serde_json::to_string(&options).ok()
}

// === impl NewValue ===

impl NewValue<'_> {
    /// Reports whether a raw value is this one already. A string with escapes is taken for another
    /// one.
    fn is(self, raw: &[u8]) -> bool {
        match self {
            Self::Raw(new) => new.as_bytes() == raw,
            Self::Text(text) => {
                raw.len() == text.len() + 2
                    && raw[1..=text.len()] == *text.as_bytes()
                    && raw.starts_with(b"\"")
                    && !text.contains('\\')
            }
            Self::Number(_) => false,
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
            Self::Text(text) => json(text, out),
            Self::Number(number) => json(number, out),
        }
    }

    /// Returns about as many bytes as the value is long.
    fn room(self) -> usize {
        match self {
            Self::Raw(text) | Self::Text(text) => text.len() + 2,
            Self::Number(_) => 24,
        }
    }
}

// === impl SpliceText ===

impl SpliceText<'_> {
    fn room(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Value(new) => new.room(),
            Self::Member(name, new) => name.len() + 4 + new.room(),
            Self::Options(options) => options.len(),
        }
    }
}

/// Appends a value as JSON. Neither a text nor a number can fail, nor can the buffer.
fn json(value: impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &value);
}

#[cfg(test)]
mod tests;
