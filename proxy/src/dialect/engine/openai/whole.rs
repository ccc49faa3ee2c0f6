//! A whole answer of an engine that speaks OpenAI: the JSON as the engine wrote it, but for the few names
//! that clients know otherwise. It is searched once, for its top-level members and for the keys in them.

use std::{
    collections::{HashSet, VecDeque},
    ops::Range,
};

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{passthrough::ChatPassthrough, readable::readable, respelled::respelled};
use crate::{
    body::{
        scan::{self, JsonMember},
        surrogates,
    },
    dialect::{
        chat::{
            EngineTranscoder as _, cached_at,
            event_keys::{EventKey, EventKeys, EventKeysBuilder, value_at},
            with_cached,
        },
        engine::{
            call_ids::CallIds,
            engine_error::{error_in_success, not_an_answer},
        },
    },
    error::{Error, ErrorKind, UpstreamError},
    sse::stream_detector::is_event_stream,
    usage::{LlamaTimings, OpenAiUsage, ReportedObject, Usage},
};

/// The number of brackets that an answer may open, one in the other.
const DEPTH: usize = 128;

/// A whole answer that was searched, and is not judged yet.
pub(crate) struct WholeAnswer {
    bytes: Bytes,
    /// `None` where the answer is no JSON object.
    members: Option<AnswerMembers>,
}

/// The ranges of the members of an answer that Crucible reads; the others pass unseen.
#[derive(Debug, Default)]
struct AnswerMembers {
    /// Present in every chat completion.
    choices: Option<Range<usize>>,
    usage: Option<Range<usize>>,
    /// The timings that llama.cpp's server measures itself.
    timings: Option<Range<usize>>,
    model: Option<Range<usize>>,
    /// A member of that name is there, or the answer calls itself an error.
    error: bool,
    /// The keys at any depth; none but those of calls and of thinking are looked for.
    keys: EventKeys,
}

/// The scan's visitor: the members beside the text that they are looked up in.
struct MembersOf<'a> {
    text: &'a str,
    members: AnswerMembers,
    keys: EventKeysBuilder,
}

// === impl WholeAnswer ===

impl WholeAnswer {
    /// Searches the bytes of an answer, after a byte-order mark and broken characters were mended.
    pub(crate) fn search(bytes: Bytes) -> Self {
        let bytes = readable(bytes);
        let (members, has_surrogates) = AnswerMembers::of(&bytes);
        if has_surrogates && let (mended, true) = surrogates::mended(bytes.clone()) {
            let (members, _) = AnswerMembers::of(&mended);
            return Self {
                bytes: mended,
                members,
            };
        }
        Self { bytes, members }
    }

    /// Reports whether the answer calls tools.
    pub(crate) fn calls_tools(&self) -> bool {
        self.members
            .as_ref()
            .is_some_and(|members| members.keys.calls)
    }

    /// Returns the model that the answer names as the one that gave it.
    pub(crate) fn model(&self) -> Option<String> {
        let range = self.members.as_ref()?.model.clone()?;
        serde_json::from_slice(&self.bytes[range]).ok()
    }

    /// The chat completion for the client, with the engine's counts: the names are those that clients
    /// know, and each call has an id that none of `taken` is.
    ///
    /// # Errors
    /// The answer is no chat completion, has no choices, or is an engine's error in a success.
    pub(crate) fn into_completion(
        self,
        kind: EngineKind,
        taken: HashSet<String>,
    ) -> Result<(Bytes, Option<Usage>), Error> {
        let Some(members) = &self.members else {
            return Err(if is_event_stream(&self.bytes) {
                streamed(kind, &self.bytes)
            } else {
                not_an_answer(kind, &self.bytes)
            });
        };
        // The error is read into a tree, which a good answer need not pay for.
        if members.error
            && let Some(error) = error_in_success(kind, &self.bytes)
        {
            return Err(error);
        }
        let choices = self.slice(members.choices.as_ref());
        let choices = choices
            .strip_prefix(b"[")
            .ok_or_else(|| not_an_answer(kind, &self.bytes))?;
        if choices.trim_ascii_start() == b"]" {
            return Err(Error::new(
                ErrorKind::EngineError,
                "the engine's answer has no choices; LM Studio gives such a one when the prompt is \
                 longer than its context",
            )
            .upstream(UpstreamError::BadJson)
            .silent(kind));
        }
        let usage = Usage::of_openai(
            &self.reported::<OpenAiUsage>(members.usage.as_ref()),
            &self.reported::<LlamaTimings>(members.timings.as_ref()),
        );
        let cached = usage.and_then(|usage| usage.cached);
        let (keys, place) = (members.keys, members.usage.clone());
        let whole = self.bytes.clone();
        let mut mended = mended(self.bytes, keys, taken);
        if let Some(cached) = cached {
            let as_it_was = mended.as_ptr() == whole.as_ptr();
            let added = match place.filter(|_| as_it_was) {
                Some(place) => cached_at(&mended, place, cached),
                None => with_cached(&mended, cached),
            };
            mended = added.unwrap_or(mended);
        }
        Ok((mended, usage))
    }

    fn slice(&self, range: Option<&Range<usize>>) -> &[u8] {
        range.map_or(b"", |range| &self.bytes[range.clone()])
    }

    /// Reads a member in which the engine counts; an absent or odd one is empty.
    fn reported<T: DeserializeOwned + Default>(&self, range: Option<&Range<usize>>) -> T {
        let member = range.and_then(|range| self.bytes.get(range.clone()));
        // As a text, whose names are not checked one by one.
        let member = member.and_then(|json| simdutf8::basic::from_utf8(json).ok());
        let read = member.and_then(|json| serde_json::from_str::<ReportedObject<T>>(json).ok());
        read.map(|object| object.0).unwrap_or_default()
    }
}

/// The answer as clients know it; the same bytes where it is so already.
fn mended(mut answer: Bytes, keys: EventKeys, taken: HashSet<String>) -> Bytes {
    if keys.calls
        && let Ok(mut tree) = serde_json::from_slice::<Value>(&answer)
        && CallIds::new(taken).mend_answer(&mut tree)
    {
        answer = tree.to_string().into();
    }
    // Behind the calls, whose arguments are texts by now: in these the word is the model's.
    if keys.reasoning {
        respelled(&answer)
    } else {
        answer
    }
}

/// The error of an answer that came as a stream although none was asked for: its own, if it has one.
fn streamed(kind: EngineKind, whole: &Bytes) -> Error {
    let mut stream = ChatPassthrough::new(kind, false, whole.len() + 1);
    let mut out = VecDeque::new();
    let read = stream
        .push(whole.clone(), &mut out)
        .and_then(|_| stream.finish(&mut out));
    read.err().unwrap_or_else(|| {
        Error::new(
            ErrorKind::EngineError,
            "the engine streamed an answer that was to come whole",
        )
        .upstream(UpstreamError::BadJson)
    })
}

// === impl AnswerMembers ===

impl AnswerMembers {
    /// Finds the members of an answer that is a JSON object, and whether it has halves of characters.
    fn of(whole: &[u8]) -> (Option<Self>, bool) {
        let Ok(text) = simdutf8::basic::from_utf8(whole) else {
            return (None, false);
        };
        let mut of = MembersOf {
            text,
            members: Self::default(),
            keys: EventKeysBuilder::default(),
        };
        let Ok(scanned) = scan::object(text, DEPTH, &mut of) else {
            return (None, false);
        };
        let found = Self {
            keys: of.keys.keys(),
            ..of.members
        };
        (Some(found), scanned.has_surrogates)
    }
}

// === impl MembersOf ===

impl scan::MemberVisitor for &mut MembersOf<'_> {
    fn member(&mut self, member: JsonMember) {
        let value = member.value;
        match &self.text[member.key] {
            r#""choices""# => self.members.choices = Some(value),
            r#""usage""# => self.members.usage = Some(value),
            r#""timings""# => self.members.timings = Some(value),
            r#""model""# => self.members.model = Some(value),
            r#""error""# => self.members.error = true,
            r#""object""# => self.members.error |= &self.text[value] == r#""error""#,
            _ => {}
        }
    }

    fn string(&mut self, inside: Range<usize>, is_key: bool) {
        if !is_key {
            return;
        }
        let behind = inside.end + 1;
        let key = match &self.text[inside] {
            "tool_calls" => EventKey::Calls,
            "function_call" => EventKey::OlderCall,
            "finish_reason" => EventKey::Finish,
            "reasoning_content" => EventKey::Thinking,
            "reasoning" => EventKey::Reasoning,
            _ => return,
        };
        self.keys.add(key, value_at(self.text.as_bytes(), behind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_names_that_clients_know() {
        let read = |text: &'static str| {
            let answer = WholeAnswer::search(text.into());
            answer
                .into_completion(EngineKind::Lmstudio, HashSet::new())
                .unwrap()
                .0
        };
        for (text, becomes) in [
            (
                r#"{"choices":[{"message":{"content":"\"reasoning\": \"x\"","reasoning" : "r"}}],"z":1.0}"#,
                r#"{"choices":[{"message":{"content":"\"reasoning\": \"x\"","reasoning_content" : "r"}}],"z":1.0}"#,
            ),
            (
                r#"{"choices":[{"message":{"reasoning":"r","reasoning_content":"r"}}]}"#,
                r#"{"choices":[{"message":{"reasoning":"r","reasoning_content":"r"}}]}"#,
            ),
            (
                r#"{"choices":[{"message":{"reasoning":null,"tool_calls":[]}}]}"#,
                r#"{"choices":[{"message":{"reasoning":null,"tool_calls":[]}}]}"#,
            ),
            (
                r#"{"choices":[{"message":{"tool_calls":[{"id":"a"},{"id":"b"}]}}], "z":1.0}"#,
                r#"{"choices":[{"message":{"tool_calls":[{"id":"a"},{"id":"b"}]}}], "z":1.0}"#,
            ),
        ] {
            assert_eq!(read(text), becomes);
        }
        let twice = read(r#"{"choices":[{"message":{"tool_calls":[{"id":"a"},{"id":"a"}]}}]}"#);
        assert_eq!(String::from_utf8_lossy(&twice).matches("\"a\"").count(), 1);
    }

    #[test]
    fn members_are_those_of_the_answer_itself() {
        let text =
            br#"{"choices":[{"usage":1,"error":2}],"usage":{"prompt_tokens":3},"timings":{}}"#;
        let members = AnswerMembers::of(text).0.unwrap();
        let at = |range: Option<Range<usize>>| std::str::from_utf8(&text[range.unwrap()]).unwrap();
        assert_eq!(at(members.choices), r#"[{"usage":1,"error":2}]"#);
        assert_eq!(at(members.usage), r#"{"prompt_tokens":3}"#);
        assert_eq!(at(members.timings), "{}");
        assert!(!members.error);
        assert!(AnswerMembers::of(br#"{"error":"x"}"#).0.unwrap().error);
        assert!(AnswerMembers::of(br#"{"object":"error"}"#).0.unwrap().error);
        for bad in [&b"[]"[..], b"{", b"{}{}", b"", b"{\"a\":\"\xff\"}"] {
            assert!(AnswerMembers::of(bad).0.is_none());
        }
    }
}
