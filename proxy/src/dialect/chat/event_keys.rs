//! The keys of a chat event that matter to Crucible, found in one pass over the event's bytes without
//! parsing its JSON.
//!
//! A quote inside a JSON string is escaped, so a quoted word with a colon behind it is always a key.

use std::sync::LazyLock;

use memchr::memchr_iter;

use crate::body::word_search::WordSearch;

/// The keys that stand in an event, or in a whole answer, with a value that means something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "an event may hold any of these keys together"
)]
pub(crate) struct EventKeys {
    /// `[DONE]`, perhaps as the data.
    pub(crate) done: bool,
    /// `choices`, which every chunk of a completion has.
    pub(crate) choices: bool,
    /// `event:`, perhaps at the beginning of a line.
    pub(crate) name: bool,
    /// An `error` that is not null, or something that is called so.
    pub(crate) error: bool,
    /// Text, thinking or a call: what a person would call the first token.
    pub(crate) content: bool,
    /// A tool call, also in the form that is older than lists of calls, or a `finish_reason` that says
    /// that there was one.
    pub(crate) calls: bool,
    /// Escapes of halves of surrogate pairs, each perhaps with its other half.
    pub(crate) surrogates: bool,
    /// A `finish_reason` that is a text.
    pub(crate) finish: bool,
    /// A `usage` that is not null.
    pub(crate) usage: bool,
    /// `reasoning` is spelt so (gpt-oss on LM Studio 0.3.23 and newer), and nowhere
    /// `reasoning_content`.
    pub(crate) reasoning: bool,
}

/// The keys of an event that were found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventKeysBuilder {
    keys: EventKeys,
    /// Whether `reasoning_content` was among them.
    is_respelled: bool,
}

/// A key that matters, or a word that stands for one.
#[derive(Clone, Copy)]
pub(crate) enum EventKey {
    Done,
    Choices,
    Name,
    Error,
    Usage,
    Finish,
    Text,
    Calls,
    OlderCall,
    Thinking,
    Reasoning,
}

const KEYS: [(&str, EventKey); 11] = [
    ("[DONE]", EventKey::Done),
    ("\"choices\"", EventKey::Choices),
    ("event:", EventKey::Name),
    ("\"error\"", EventKey::Error),
    ("\"usage\"", EventKey::Usage),
    ("\"finish_reason\"", EventKey::Finish),
    ("\"content\"", EventKey::Text),
    ("\"tool_calls\"", EventKey::Calls),
    ("\"function_call\"", EventKey::OlderCall),
    ("\"reasoning_content\"", EventKey::Thinking),
    ("\"reasoning\"", EventKey::Reasoning),
];

static WORDS: LazyLock<WordSearch<11>> =
    LazyLock::new(|| WordSearch::new(KEYS.map(|(word, _)| word)));

/// Calls `found` with each of [`KEYS`] that stands in the event, and where it ends.
fn each(event: &[u8], mut found: impl FnMut(EventKey, usize)) {
    WORDS.each(event, |word, end| found(KEYS[word].1, end));
}

/// Returns the bytes behind the colon of a key, without blanks; `None` where the string is no key.
pub(crate) fn value_at(event: &[u8], after_key: usize) -> Option<&[u8]> {
    let rest = event.get(after_key..)?.trim_ascii_start();
    Some(rest.strip_prefix(b":")?.trim_ascii_start())
}

/// Whether an escape may be half of a surrogate pair, which begins with `\ud` in either case. It is no
/// word of [`KEYS`]: each escape of a text begins as it does, and would slow the search for the others.
fn has_half_escape(event: &[u8]) -> bool {
    memchr_iter(b'\\', event)
        .any(|at| matches!(event.get(at + 1..at + 3), Some([b'u', b'd' | b'D'])))
}

fn is_text(value: &[u8]) -> bool {
    value.starts_with(b"\"") && !value.starts_with(b"\"\"")
}

/// A list of parts, as requests have them, in which some servers answer too. A list beside it, of
/// the probabilities of tokens, has the same name, and holds no types.
fn is_parts(value: &[u8]) -> bool {
    let inner = value.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    let first = inner.and_then(|inner| inner.strip_prefix(b"{"));
    first.is_some_and(|first| first.trim_ascii_start().starts_with(b"\"type\""))
}

fn is_content(value: &[u8]) -> bool {
    is_text(value) || is_parts(value)
}

/// Anything but null.
fn is_filled(value: &[u8]) -> bool {
    !value.starts_with(b"null")
}

/// The `finish_reason` of an answer that calls tools; the second is older than lists of calls.
fn is_name_of_calls(value: &[u8]) -> bool {
    value.starts_with(b"\"tool_calls\"") || value.starts_with(b"\"function_call\"")
}

/// A list with something in it.
fn has_items(value: &[u8]) -> bool {
    value
        .strip_prefix(b"[")
        .is_some_and(|rest| !rest.trim_ascii_start().starts_with(b"]"))
}

// === impl EventKeys ===

impl EventKeys {
    /// Finds the keys in the bytes of one event or of one whole answer, which need not be valid
    /// JSON.
    pub(crate) fn of(event: &[u8]) -> Self {
        let mut builder = EventKeysBuilder::default();
        each(event, |key, end| builder.add(key, value_at(event, end)));
        Self {
            surrogates: has_half_escape(event),
            ..builder.keys()
        }
    }
}

// === impl EventKeysBuilder ===

impl EventKeysBuilder {
    /// Adds a key that was found, with what stands behind its colon; `None` where it is no key.
    pub(crate) fn add(&mut self, key: EventKey, value: Option<&[u8]>) {
        let keys = &mut self.keys;
        let value_is = |is: fn(&[u8]) -> bool| value.is_some_and(is);
        match key {
            EventKey::Done => keys.done = true,
            EventKey::Choices => keys.choices = true,
            EventKey::Name => keys.name = true,
            // An object may call itself an error: `"object":"error"`.
            EventKey::Error => keys.error |= value.is_none_or(is_filled),
            EventKey::Usage => keys.usage |= value_is(is_filled),
            EventKey::Finish => {
                // Some engines write an empty one into every chunk but the last.
                keys.finish |= value_is(is_text);
                keys.calls |= value_is(is_name_of_calls);
            }
            EventKey::Text => keys.content |= value_is(is_content),
            EventKey::Thinking => {
                self.is_respelled = true;
                keys.content |= value_is(is_content);
            }
            EventKey::Calls => {
                let is_call = value_is(has_items);
                keys.content |= is_call;
                keys.calls |= is_call;
            }
            EventKey::OlderCall => {
                let is_call = value_is(|value| value.starts_with(b"{"));
                keys.content |= is_call;
                keys.calls |= is_call;
            }
            EventKey::Reasoning => {
                keys.content |= value_is(is_text);
                keys.reasoning |= value_is(|value| value.starts_with(b"\""));
            }
        }
    }

    /// Returns the keys that were added.
    pub(crate) fn keys(self) -> EventKeys {
        EventKeys {
            reasoning: self.keys.reasoning && !self.is_respelled,
            ..self.keys
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_by_their_values() {
        let of = |text: &str| EventKeys::of(text.as_bytes());
        let none = EventKeys::default();
        let content = EventKeys {
            content: true,
            ..none
        };
        for (event, keys) in [
            (
                "data: {\"content\":\"\",\"error\": null,\"usage\":null,\"finish_reason\":null}",
                none,
            ),
            ("data: {\"content\" : \"a\"}", content),
            ("data: {\"tool_calls\":[ ]}", none),
            (
                "data: {\"tool_calls\":[{}]}",
                EventKeys {
                    calls: true,
                    ..content
                },
            ),
            (
                "data: {\"finish_reason\": \"tool_calls\"}",
                EventKeys {
                    calls: true,
                    finish: true,
                    ..none
                },
            ),
            (
                "data: {\"finish_reason\":\"function_call\"}",
                EventKeys {
                    calls: true,
                    finish: true,
                    ..none
                },
            ),
            (
                "data: {\"x\":\"\\\"finish_reason\\\":\\\"tool_calls\\\"\"}",
                none,
            ),
            ("data: {\"reasoning_content\":\"a\"}", content),
            ("data: {\"x\":\"\\\"content\\\":\\\"a\\\"\"}", none),
            ("data: {\"x\":[\"content\",\"usage\"]}", none),
            (
                "data: {\"reasoning\":\"a\"}",
                EventKeys {
                    reasoning: true,
                    ..content
                },
            ),
            ("data: {\"reasoning\":{}}", none),
            (
                "data: {\"reasoning\":\"a\",\"reasoning_content\":null}",
                content,
            ),
        ] {
            assert_eq!(of(event), keys, "{event}");
        }
    }

    #[test]
    fn ends_errors_and_names_are_told() {
        let of = |text: &str| EventKeys::of(text.as_bytes());
        let none = EventKeys::default();
        for (event, keys) in [
            (
                "data: {\"object\":\"error\"}",
                EventKeys {
                    error: true,
                    ..none
                },
            ),
            ("data: [DONE]", EventKeys { done: true, ..none }),
            (
                "id: 1\nevent: x\ndata: {}",
                EventKeys { name: true, ..none },
            ),
            (
                "data: {\"choices\":[]}",
                EventKeys {
                    choices: true,
                    ..none
                },
            ),
            (
                "data: {\"error\":{}}",
                EventKeys {
                    error: true,
                    ..none
                },
            ),
            (
                "data: {\"usage\":{}}",
                EventKeys {
                    usage: true,
                    ..none
                },
            ),
            (
                "data: {\"finish_reason\":\"stop\"}",
                EventKeys {
                    finish: true,
                    ..none
                },
            ),
        ] {
            assert_eq!(of(event), keys, "{event}");
        }
    }

    #[test]
    fn older_calls_and_escapes_of_surrogates_are_told() {
        for (event, calls, surrogates) in [
            ("data: {\"function_call\":null}", false, false),
            ("data: {\"function_call\": {}}", true, false),
            ("data: {\"x\":\"\\uD83D\\ude00\"}", false, true),
            ("data: {\"x\":\"\\u0064\"}", false, false),
            ("data: {\"x\":\"\\n\\uDE00", false, true),
            ("data: {\"x\":\"\\u", false, false),
        ] {
            let keys = EventKeys::of(event.as_bytes());
            assert_eq!((keys.calls, keys.content), (calls, calls), "{event}");
            assert_eq!(keys.surrogates, surrogates, "{event}");
        }
    }

    #[test]
    fn the_searcher_finds_what_a_plain_search_finds() {
        let event = "data: {\"error\"\"usage\"[DONE]event:\"choices\"\"finish_reason\"\"content\" \"tool_calls\"\
                     \"reasoning_content\"\"reasoning\"\"reason\"\"function_call\"}";
        let mut ends = Vec::new();
        each(event.as_bytes(), |_, end| ends.push(end));
        let plain = KEYS.map(|(word, _)| event.find(word).unwrap() + word.len());
        let mut plain = plain.to_vec();
        plain.sort_unstable();
        assert_eq!(ends, plain);
    }

    #[test]
    fn parts_are_content_and_an_empty_reason_is_none() {
        for (event, content) in [
            (r#"data: {"finish_reason":""}"#, false),
            (r#"data: {"content": [ { "type":"text","text":"a"}]}"#, true),
            (r#"data: {"content":[]}"#, false),
            (r#"data: {"logprobs":{"content":[{"token":"a"}]}}"#, false),
        ] {
            let keys = EventKeys::of(event.as_bytes());
            assert_eq!((keys.content, keys.finish), (content, false), "{event}");
        }
    }
}
