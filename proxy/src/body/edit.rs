//! Edits of a body by splicing: every byte outside an edited member stays as it was.
//!
//! Key order, number text and unknown fields survive, so an engine's prefix cache stays warm. Written by
//! hand because every library parses the body and writes it anew, which loses these and costs 3 to 5
//! times as much (245 KB: 1.7 ms against 0.46 ms; `docs/decisions/bytes-are-spliced.md`). The fuzz target
//! `json_splice` holds that no edit changes another member.
//!
//! ```
//! use bytes::Bytes;
//! use crucible::body::{edit::{Edit, New, apply}, peek::PeekedBody};
//!
//! let body = Bytes::from_static(br#"{"x": 1.50, "model": "a"}"#);
//! let peek = PeekedBody::of(&body, 64)?;
//! let edits = [
//!     Edit::Set("model", New::Text("b")),
//!     Edit::Default("temperature", New::Number(0.3)),
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
pub enum Edit<'a> {
    /// Sets the key, whatever was there.
    Set(&'static str, New<'a>),
    /// Sets the key where it is absent or null.
    Default(&'static str, New<'a>),
    /// Takes the key out.
    Remove(&'static str),
    /// Sets `stream_options.include_usage` to true.
    IncludeUsage,
    /// Takes out every member that is null, known or not, unless an edit before this one sets it.
    RemoveNulls,
}

/// What a key is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum New<'a> {
    /// JSON as it stands.
    Raw(&'a str),
    /// A string that is to be quoted.
    Text(&'a str),
    /// A number; `null` where JSON has none for it.
    Number(f64),
}

/// What stands in the place of some bytes.
struct Splice<'a> {
    place: Range<usize>,
    with: With<'a>,
}

enum With<'a> {
    Nothing,
    Value(New<'a>),
    /// A new member, at the end of the object.
    Member(&'static str, New<'a>),
    /// `stream_options`, written anew.
    Options(String),
}

/// Applies edits, each key at most once. The same `Bytes` come back where nothing changes.
pub fn apply(body: &Bytes, peek: &PeekedBody, edits: &[Edit<'_>]) -> Bytes {
    const USAGE: New<'static> = New::Raw(r#"{"include_usage":true}"#);
    let (mut members, close) = peek.shape();
    let mut splices: Vec<Splice<'_>> = Vec::with_capacity(edits.len());
    let mut removals: Vec<Range<usize>> = Vec::new();
    let value = |place: &Range<usize>, new| Splice {
        place: place.clone(),
        with: With::Value(new),
    };
    let member = |name, new| Splice {
        place: close..close,
        with: With::Member(name, new),
    };
    for edit in edits {
        match *edit {
            Edit::Set(name, new) => match peek.field(name) {
                Some(field) if new.is(&body[field.value.clone()]) => {}
                Some(field) => splices.push(value(&field.value, new)),
                None => splices.push(member(name, new)),
            },
            Edit::Default(name, new) => match peek.field(name) {
                Some(field) if &body[field.value.clone()] == b"null" => {
                    splices.push(value(&field.value, new));
                }
                Some(_) => {}
                None => splices.push(member(name, new)),
            },
            Edit::Remove(name) => {
                if let Some(field) = peek.field(name) {
                    removals.push(field.key..field.value.end);
                }
            }
            Edit::RemoveNulls => {
                let left = |null: &&Range<usize>| {
                    let set = splices
                        .iter()
                        .any(|s| !s.place.is_empty() && s.place.end == null.end);
                    !set && !removals.contains(null)
                };
                let left: Vec<_> = peek.nulls().iter().filter(left).cloned().collect();
                removals.extend(left);
            }
            Edit::IncludeUsage => {
                const NAME: &str = "stream_options";
                match (peek.raw(body, NAME), peek.field(NAME)) {
                    (Some(raw), Some(field)) => {
                        splices.extend(with_usage(raw).map(|options| Splice {
                            place: field.value.clone(),
                            with: With::Options(options),
                        }));
                    }
                    (None, Some(field)) => splices.push(value(&field.value, USAGE)),
                    (_, None) => splices.push(member(NAME, USAGE)),
                }
            }
        }
    }
    members -= removals.len();
    splices.extend(member_ranges(body, removals).into_iter().map(|place| {
        let with = With::Nothing;
        Splice { place, with }
    }));
    if splices.is_empty() {
        return body.clone();
    }
    splices.sort_by_key(|splice| splice.place.start);
    splice(body, members, &splices)
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

/// `members` of the object stay.
fn splice(body: &[u8], mut members: usize, splices: &[Splice<'_>]) -> Bytes {
    let extra: usize = splices.iter().map(|splice| splice.with.room()).sum();
    let mut out = Vec::with_capacity(body.len() + extra);
    let mut at = 0;
    for splice in splices {
        out.extend_from_slice(&body[at..splice.place.start]);
        at = splice.place.end;
        match &splice.with {
            With::Nothing => {}
            With::Value(new) => new.write(&mut out),
            With::Options(options) => out.extend_from_slice(options.as_bytes()),
            With::Member(name, new) => {
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

/// `stream_options` with `include_usage: true`; `None` where it is so already or no object.
fn with_usage(raw: &str) -> Option<String> {
    let mut options: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw).ok()?;
    if options.get("include_usage") == Some(&true.into()) {
        return None;
    }
    options.insert("include_usage".to_owned(), true.into());
    serde_json::to_string(&options).ok()
}

// === impl New ===

impl New<'_> {
    /// The value is so already. A string with escapes is taken for another one.
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

    /// About as many bytes as it is long.
    fn room(self) -> usize {
        match self {
            Self::Raw(text) | Self::Text(text) => text.len() + 2,
            Self::Number(_) => 24,
        }
    }
}

// === impl With ===

impl With<'_> {
    fn room(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Value(new) => new.room(),
            Self::Member(name, new) => name.len() + 4 + new.room(),
            Self::Options(options) => options.len(),
        }
    }
}

/// Neither text nor number can fail, nor can the buffer.
fn json(value: impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn edited(text: &str, edits: &[Edit<'_>]) -> String {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let peek = PeekedBody::of(&body, 64).unwrap();
        String::from_utf8(apply(&body, &peek, edits).to_vec()).unwrap()
    }

    #[test]
    fn other_bytes_stay() {
        assert_eq!(
            edited(
                "{ \"x\" : 1.50e1,\"model\" : \"a\" , \"top_p\":null }",
                &[
                    Edit::Set("model", New::Text("b")),
                    Edit::Default("top_p", New::Number(0.8)),
                    Edit::Default("temperature", New::Raw("0.3")),
                ]
            ),
            "{ \"x\" : 1.50e1,\"model\" : \"b\" , \"top_p\":0.8 ,\"temperature\":0.3}"
        );
    }

    #[test]
    fn nulls_go_wherever_they_stand_unless_they_are_set() {
        let edits = [
            Edit::Set("model", New::Text("b")),
            Edit::Default("top_p", New::Raw("0.8")),
            Edit::Remove("seed"),
            Edit::IncludeUsage,
            Edit::RemoveNulls,
        ];
        for (text, left) in [
            (
                r#"{"a":null,"model":"x","top_p":null,"seed":null,"stream_options":null,"z": null}"#,
                r#"{"model":"b","top_p":0.8,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{ "n" : null , "stop":null, "model":null, "m":{"k":null}}"#,
                r#"{ "model":"b", "m":{"k":null},"top_p":0.8,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"x":null}"#,
                r#"{"model":"b","top_p":0.8,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"x":"null","y":[null],"model":"x","n":null}"#,
                r#"{"x":"null","y":[null],"model":"b","top_p":0.8,"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            let sent = edited(text, &edits);
            let value: Value =
                serde_json::from_str(&sent).unwrap_or_else(|e| panic!("{sent}: {e}"));
            let wanted: Value = serde_json::from_str(left).unwrap();
            assert_eq!(value, wanted, "{text} became {sent}");
        }
        let kept = r#"{"model":"b" , "x":[ 1.0 ]}"#;
        let same = edited(
            kept,
            &[Edit::Set("model", New::Text("b")), Edit::RemoveNulls],
        );
        assert_eq!(same, kept);
    }

    #[test]
    fn removing_any_subset_leaves_an_object() {
        let names = ["model", "n", "seed", "stop"];
        let text = r#"{"model":"a" , "n":1, "seed" :2,"stop":3 }"#;
        for mask in 0..16_u8 {
            let edits: Vec<_> = names
                .iter()
                .enumerate()
                .filter(|(i, _)| mask & (1 << i) != 0)
                .map(|(_, name)| Edit::Remove(name))
                .chain([Edit::Default("top_p", New::Number(1.0))])
                .collect();
            let value: Value = serde_json::from_str(&edited(text, &edits)).unwrap();
            assert_eq!(
                value.as_object().unwrap().len(),
                5 - mask.count_ones() as usize
            );
        }
    }

    #[test]
    fn nothing_to_change_is_no_copy() {
        let body = Bytes::from_static(br#"{"model":"a","stream_options":{"include_usage":true}}"#);
        let peek = PeekedBody::of(&body, 64).unwrap();
        let same = apply(
            &body,
            &peek,
            &[Edit::Set("model", New::Text("a")), Edit::IncludeUsage],
        );
        assert_eq!(same.as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_name_is_quoted_and_a_new_object_begins_without_a_comma() {
        let odd = "a\"b\\c";
        let set = [Edit::Set("model", New::Text(odd))];
        for text in ["{}", r#"{"model":"a\"b\\d"}"#, r#"{"model":null}"#] {
            let after: Value = serde_json::from_str(&edited(text, &set)).unwrap();
            assert_eq!(after, serde_json::json!({ "model": odd }));
        }
    }

    #[test]
    fn usage_is_asked_for_beside_other_options() {
        assert_eq!(
            edited(
                r#"{"stream_options":{"a":1,"include_usage":false}}"#,
                &[Edit::IncludeUsage]
            ),
            r#"{"stream_options":{"a":1,"include_usage":true}}"#
        );
    }

    proptest! {
        #[test]
        fn only_named_keys_change(
            others in prop::collection::btree_map("[a-z\\\\\"\u{e9}]{1,6}x", any::<i64>(), 0..6),
            model in prop::option::of("[a-z]{0,5}"),
            temperature in prop::option::of(-500..500_i32),
        ) {
            let mut object = Map::new();
            for (key, value) in others {
                object.insert(key, value.into());
            }
            if let Some(model) = model {
                object.insert("model".to_owned(), model.into());
            }
            if let Some(value) = temperature {
                object.insert("temperature".to_owned(), value.into());
            }
            let text = serde_json::to_string(&object).unwrap();
            let after = edited(&text, &[
                Edit::Set("model", New::Text("new")),
                Edit::Default("temperature", New::Number(0.25)),
            ]);
            object.insert("model".to_owned(), "new".into());
            object.entry("temperature").or_insert(0.25.into());
            // Byte for byte: the key order and every other byte are as they were.
            prop_assert_eq!(after, serde_json::to_string(&object).unwrap());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = Bytes::from(bytes);
            if let Ok(peek) = PeekedBody::of(&body, 64) {
                apply(&body, &peek, &[Edit::Remove("model"), Edit::IncludeUsage]);
            }
        }
    }
}
