//! Characters that an engine cuts in two between two events.
//!
//! An engine that counts text in UTF-16 units (LM Studio's server is JavaScript) may write the halves of an
//! emoji into two events: `{"content":"\ud83d"}`, `{"content":"\ude00"}`. Neither is a text that a client in
//! another language than JavaScript can read. So an event that ends in the first half is kept until the next
//! one, whose half moves into it. A half without another becomes U+FFFD.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    body::surrogates::{REPLACEMENT, halves, unit},
    members::json_objects,
    sse::event,
};

/// The length of an escape of one unit, such as `\ud83d`.
const ESCAPE: usize = 6;

/// Puts the halves of characters together again.
#[derive(Debug, Default)]
pub(super) struct HalfCharacters {
    kept: Option<KeptEvent>,
}

/// An event that ends in half a character.
#[derive(Debug)]
struct KeptEvent {
    data: String,
    halves: Vec<KeptHalf>,
}

/// The first half of a character at the end of a text.
#[derive(Debug)]
struct KeptHalf {
    place: TextPlace,
    /// The place of its escape in the data.
    at: usize,
}

/// A text that grows from event to event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TextPlace {
    choice: u64,
    call: u64,
    member: &'static str,
}

json_objects! {
    /// The members of an event that hold texts.
    struct TextEvent<'a> {
        choices: Option<Vec<TextChoice<'a>>>,
    }

    /// A choice of an event.
    struct TextChoice<'a> {
        index: Option<u64>,
        text: Option<&'a RawValue>,
        delta: Option<TextDelta<'a>>,
    }

    /// The new part of a message.
    struct TextDelta<'a> {
        content: Option<&'a RawValue>,
        reasoning_content: Option<&'a RawValue>,
        reasoning: Option<&'a RawValue>,
        refusal: Option<&'a RawValue>,
        tool_calls: Option<Vec<TextCall<'a>>>,
        function_call: Option<TextFunction<'a>>,
    }

    /// A piece of a call.
    struct TextCall<'a> {
        index: Option<u64>,
        function: Option<TextFunction<'a>>,
    }

    /// The function of a call.
    struct TextFunction<'a> {
        arguments: Option<&'a RawValue>,
    }
}

// === impl HalfCharacters ===

impl HalfCharacters {
    /// Reports whether an event is kept, which the next one may complete.
    pub(super) const fn is_keeping(&self) -> bool {
        self.kept.is_some()
    }

    /// Takes an event and returns the events that can go on, the kept one first. An event in which nothing
    /// is amiss keeps its bytes.
    pub(super) fn push(&mut self, whole: &[u8]) -> Vec<Bytes> {
        let Some((_, mut data)) = event::read(whole) else {
            return vec![Bytes::copy_from_slice(whole)];
        };
        let mut ready = Vec::with_capacity(2);
        let length = data.len();
        if let Some(kept) = self.kept.take() {
            ready.push(kept.completed(&mut data));
        }
        let halves = halves(data.as_bytes());
        if halves.is_empty() {
            ready.push(if data.len() == length {
                Bytes::copy_from_slice(whole)
            } else {
                written(&data)
            });
            return ready;
        }
        let texts = texts(&data);
        let mut first_halves = Vec::new();
        for digits in halves {
            let at = digits.start.saturating_sub(2);
            let is_first = matches!(unit(data.as_bytes(), at), Some(0xd800..=0xdbff));
            let text = texts.iter().find(|(_, text)| text.end == digits.end);
            match text {
                Some((place, _)) if is_first => first_halves.push(KeptHalf { place: *place, at }),
                _ => data.replace_range(digits, REPLACEMENT),
            }
        }
        if first_halves.is_empty() {
            ready.push(written(&data));
        } else {
            self.kept = Some(KeptEvent {
                data,
                halves: first_halves,
            });
        }
        ready
    }

    /// Returns the event that is kept at the end of the stream, or before an error.
    pub(super) fn release(&mut self) -> Option<Bytes> {
        let kept = self.kept.take()?;
        Some(kept.completed(&mut String::new()))
    }
}

// === impl KeptEvent ===

impl KeptEvent {
    /// Moves the other halves from the data of the next event into this one, and returns it.
    fn completed(self, next: &mut String) -> Bytes {
        let Self { mut data, halves } = self;
        let texts = texts(next);
        let mut moved: Vec<Range<usize>> = Vec::new();
        // From behind, so that the places before stay.
        for half in halves.iter().rev() {
            let text = texts.iter().find(|(place, _)| *place == half.place);
            let other = text
                .map(|(_, text)| text.start)
                .filter(|at| matches!(unit(next.as_bytes(), *at), Some(0xdc00..=0xdfff)));
            match other {
                Some(at) => {
                    data.insert_str(half.at + ESCAPE, &next[at..at + ESCAPE]);
                    moved.push(at..at + ESCAPE);
                }
                None => data.replace_range(half.at + 2..half.at + ESCAPE, REPLACEMENT),
            }
        }
        moved.sort_unstable_by_key(|range| std::cmp::Reverse(range.start));
        for range in moved {
            next.replace_range(range, "");
        }
        written(&data)
    }
}

/// Returns the texts of an event, each by the range between its quotes.
fn texts(data: &str) -> Vec<(TextPlace, Range<usize>)> {
    let read: TextEvent<'_> = serde_json::from_str(data).unwrap_or_default();
    let mut found = Vec::new();
    for choice in read.choices.iter().flatten() {
        let mut add = |call: u64, member: &'static str, raw: Option<&RawValue>| {
            if let Some(raw) = raw.map(RawValue::get).filter(|raw| raw.starts_with('"')) {
                let start = raw.as_ptr().addr() - data.as_ptr().addr() + 1;
                let place = TextPlace {
                    choice: choice.index.unwrap_or(0),
                    call,
                    member,
                };
                found.push((place, start..start + raw.len() - 2));
            }
        };
        add(0, "text", choice.text);
        let Some(delta) = &choice.delta else {
            continue;
        };
        add(0, "content", delta.content);
        add(0, "reasoning", delta.reasoning_content.or(delta.reasoning));
        add(0, "refusal", delta.refusal);
        let older = delta.function_call.as_ref();
        add(0, "function_call", older.and_then(|call| call.arguments));
        for call in delta.tool_calls.iter().flatten() {
            let function = call.function.as_ref();
            let arguments = function.and_then(|function| function.arguments);
            add(call.index.unwrap_or(0), "arguments", arguments);
        }
    }
    found
}

fn written(data: &str) -> Bytes {
    format!("data: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(member: &str) -> String {
        format!(r#"{{"choices":[{{"index":0,"delta":{{{member}}}}}]}}"#)
    }

    fn passed(events: &[&str]) -> Vec<String> {
        let mut halves = HalfCharacters::default();
        let mut out: Vec<Bytes> = Vec::new();
        for data in events {
            out.extend(halves.push(format!("data: {data}\n\n").as_bytes()));
        }
        out.extend(halves.release());
        assert!(!halves.is_keeping());
        let text = |event: &Bytes| String::from_utf8(event.to_vec()).unwrap();
        let out = out.iter().map(text);
        out.map(|event| event.trim_start_matches("data: ").trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_halves_of_a_character_meet() {
        for (member, rest) in [
            (r#""content":"X""#, ""),
            (r#""reasoning_content":"X""#, ""),
            (r#""reasoning":"X""#, ""),
            (r#""refusal":"X""#, ""),
            (
                r#""tool_calls":[{"index":1,"function":{"arguments":"X"}}]"#,
                "",
            ),
            (r#""function_call":{"arguments":"X"}"#, ""),
        ] {
            let with = |text: &str| delta(&member.replace('X', text));
            let out = passed(&[&with("a\\ud83d"), &with("\\ude00b")]);
            assert_eq!(out, [with("a\\ud83d\\ude00"), with("b")], "{rest}");
            // Three in a row.
            let out = passed(&[&with("\\ud83d"), &with("\\ude00\\uD83D"), &with("\\uDE01")]);
            let whole = [with("\\ud83d\\ude00"), with("\\uD83D\\uDE01"), with("")];
            assert_eq!(out, whole);
        }
        let text = |text: &str| format!(r#"{{"choices":[{{"text":"{text}"}}]}}"#);
        let out = passed(&[&text("\\ud83d"), &text("\\ude00")]);
        assert_eq!(out, [text("\\ud83d\\ude00"), text("")]);
    }

    #[test]
    fn a_half_without_another_is_the_replacement_character() {
        let said = |text: &str| delta(&format!(r#""content":"{text}""#));
        let thought = |text: &str| delta(&format!(r#""reasoning_content":"{text}""#));
        for (events, out) in [
            (vec![said("\\ud83d")], vec![said("\\ufffd")]),
            (
                vec![said("a\\ud83d"), said("b")],
                vec![said("a\\ufffd"), said("b")],
            ),
            (
                vec![said("\\ud83d"), thought("\\ude00")],
                vec![said("\\ufffd"), thought("\\ufffd")],
            ),
            (vec![said("\\ude00a")], vec![said("\\ufffda")]),
            (vec![said("\\ud83da")], vec![said("\\ufffda")]),
            (
                vec![said("\\ud83d"), "[DONE]".to_owned()],
                vec![said("\\ufffd"), "[DONE]".to_owned()],
            ),
        ] {
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            assert_eq!(passed(&events), out);
        }
    }

    #[test]
    fn what_is_whole_keeps_its_bytes() {
        let mut halves = HalfCharacters::default();
        let event =
            b"id: 7\ndata: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\\ude00\"}}]}\r\n\r\n";
        assert_eq!(halves.push(event), [Bytes::from_static(event)]);
        let odd = b": a comment\n\n";
        assert_eq!(halves.push(odd), [Bytes::from_static(odd)]);
    }
}
