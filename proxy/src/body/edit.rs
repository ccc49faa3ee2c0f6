//! Edits of a body by splicing: every byte outside an edited member stays as it was.
//!
//! Key order, number text and unknown fields survive, so an engine's prefix cache stays warm.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use super::peek::Peek;

/// One edit of a known top-level key; values are raw JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Sets the key, whatever was there.
    Set(&'static str, Cow<'a, str>),
    /// Sets the key where it is absent or null.
    Default(&'static str, Cow<'a, str>),
    /// Takes the key out.
    Remove(&'static str),
    /// Sets `stream_options.include_usage` to true.
    IncludeUsage,
}

/// Applies edits, each key at most once. The same `Bytes` come back where nothing changes.
pub fn apply(body: &Bytes, peek: &Peek, edits: &[Edit<'_>]) -> Bytes {
    let mut splices: Vec<(Range<usize>, Cow<'_, str>)> = Vec::with_capacity(edits.len() + 1);
    let mut removals: Vec<Range<usize>> = Vec::new();
    let mut appended = String::with_capacity(128);
    for edit in edits {
        match edit {
            Edit::Set(name, value) => match peek.field(name) {
                Some(field) if body[field.value.clone()] == *value.as_bytes() => {}
                Some(field) => splices.push((field.value.clone(), value.clone())),
                None => append(&mut appended, name, value),
            },
            Edit::Default(name, value) => match peek.field(name) {
                Some(field) if &body[field.value.clone()] == b"null" => {
                    splices.push((field.value.clone(), value.clone()));
                }
                Some(_) => {}
                None => append(&mut appended, name, value),
            },
            Edit::Remove(name) => {
                if let Some(field) = peek.field(name) {
                    removals.push(field.key..field.value.end);
                }
            }
            Edit::IncludeUsage => {
                const NAME: &str = "stream_options";
                match (peek.raw(body, NAME), peek.field(NAME)) {
                    (Some(raw), Some(field)) => {
                        if let Some(value) = with_usage(raw) {
                            splices.push((field.value.clone(), value.into()));
                        }
                    }
                    (None, Some(field)) => {
                        splices.push((field.value.clone(), r#"{"include_usage":true}"#.into()));
                    }
                    (_, None) => append(&mut appended, NAME, r#"{"include_usage":true}"#),
                }
            }
        }
    }
    if splices.is_empty() && removals.is_empty() && appended.is_empty() {
        return body.clone();
    }
    let (members, close) = peek.shape();
    if !appended.is_empty() {
        // The text begins with a comma, which only a remaining member needs.
        if removals.len() == members {
            appended.remove(0);
        }
        splices.push((close..close, appended.into()));
    }
    for range in member_ranges(body, removals) {
        splices.push((range, Cow::Borrowed("")));
    }
    splices.sort_by_key(|(range, _)| range.start);
    splice(body, &splices)
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

fn splice(body: &[u8], splices: &[(Range<usize>, Cow<'_, str>)]) -> Bytes {
    let extra: usize = splices.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + extra);
    let mut at = 0;
    for (range, text) in splices {
        out.extend_from_slice(&body[at..range.start]);
        out.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&body[at..]);
    out.into()
}

fn append(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    out.push_str(value);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn edited(text: &str, edits: &[Edit<'_>]) -> String {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let peek = Peek::of(&body, 64).unwrap();
        String::from_utf8(apply(&body, &peek, edits).to_vec()).unwrap()
    }

    #[test]
    fn other_bytes_stay() {
        assert_eq!(
            edited(
                "{ \"x\" : 1.50e1,\"model\" : \"a\" , \"top_p\":null }",
                &[
                    Edit::Set("model", "\"b\"".into()),
                    Edit::Default("top_p", "0.8".into()),
                    Edit::Default("temperature", "0.3".into()),
                ]
            ),
            "{ \"x\" : 1.50e1,\"model\" : \"b\" , \"top_p\":0.8 ,\"temperature\":0.3}"
        );
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
                .chain([Edit::Default("top_p", "1".into())])
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
        let peek = Peek::of(&body, 64).unwrap();
        let same = apply(
            &body,
            &peek,
            &[Edit::Set("model", "\"a\"".into()), Edit::IncludeUsage],
        );
        assert_eq!(same.as_ptr(), body.as_ptr());
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
                Edit::Set("model", "\"new\"".into()),
                Edit::Default("temperature", "0.25".into()),
            ]);
            object.insert("model".to_owned(), "new".into());
            object.entry("temperature").or_insert(0.25.into());
            // Byte for byte: the key order and every other byte are as they were.
            prop_assert_eq!(after, serde_json::to_string(&object).unwrap());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = Bytes::from(bytes);
            if let Ok(peek) = Peek::of(&body, 64) {
                apply(&body, &peek, &[Edit::Remove("model"), Edit::IncludeUsage]);
            }
        }
    }
}
