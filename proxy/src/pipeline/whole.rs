//! An answer that is one JSON, as the engine wrote it but for a few names.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    body::{
        scan::{self, Member},
        surrogates,
    },
    dialect::{
        engine::{
            call_ids::CallIds,
            engine_error::{error_in_success, not_an_answer},
            openai::passthrough::{Passthrough, respelled},
        },
        transcode::Transcode as _,
    },
    error::{Error, Kind, UpstreamError},
    request::Exchange,
    sse::{form::is_event_stream, keys::Keys},
    usage::Usage,
};

/// Brackets that an answer may open, one in the other.
const DEPTH: usize = 128;

/// The model that an answer names as the one that gave it.
pub(super) fn answerer(whole: &[u8]) -> Option<String> {
    serde_json::from_str(Answer::of(whole)?.model?).ok()
}

/// Usage and hidden errors of an answer that is one JSON; gives it with the names that clients know,
/// and with an id of its own for each call.
pub(super) fn read_whole(
    kind: EngineKind,
    exchange: &Exchange,
    whole: Bytes,
    call_ids: HashSet<String>,
) -> Result<Bytes, Error> {
    let no_answer = || not_an_answer(kind, &whole);
    let Some(answer) = Answer::of(&whole) else {
        return Err(if is_event_stream(&whole) {
            streamed(kind, &whole)
        } else {
            no_answer()
        });
    };
    // The error is read into a tree, which a good answer need not pay for.
    if answer.error
        && let Some(error) = error_in_success(kind, &whole)
    {
        return Err(error);
    }
    let choices = answer.choices.strip_prefix('[').ok_or_else(no_answer)?;
    if choices.trim_ascii_start() == "]" {
        return Err(Error::new(
            Kind::EngineError,
            "the engine's answer has no choices; LM Studio gives such a one when the prompt is \
             longer than its context",
        )
        .upstream(UpstreamError::BadJson)
        .silent(kind));
    }
    let tree = |raw: &str| serde_json::from_str::<Value>(raw).unwrap_or_default();
    let timings = answer.timings.map(tree).unwrap_or_default();
    let usage = Usage::of_openai(&tree(answer.usage), &timings);
    exchange.note(|record| {
        record.answered_at = Some(Instant::now());
        record.usage = usage;
    });
    Ok(mended(whole, call_ids))
}

/// The answer as clients know it; the same bytes where it is so already.
fn mended(whole: Bytes, call_ids: HashSet<String>) -> Bytes {
    let keys = Keys::of(&whole);
    let mut answer = whole;
    if keys.calls {
        let (read, _) = surrogates::mended(answer.clone());
        if let Ok(mut tree) = serde_json::from_slice::<Value>(&read)
            && CallIds::new(call_ids).mend_answer(&mut tree)
        {
            answer = tree.to_string().into();
        }
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
    let mut stream = Passthrough::new(kind, false, whole.len() + 1);
    let mut out = VecDeque::new();
    let read = stream
        .push(whole.clone(), &mut out)
        .and_then(|_| stream.finish(&mut out));
    read.err().unwrap_or_else(|| {
        Error::new(
            Kind::EngineError,
            "the engine streamed an answer that was to come whole",
        )
        .upstream(UpstreamError::BadJson)
    })
}

/// What is read of a whole answer, as it stands there; the rest passes unseen.
struct Answer<'a> {
    text: &'a str,
    /// Present in every chat completion; empty where it is not.
    choices: &'a str,
    usage: &'a str,
    /// llama.cpp's.
    timings: Option<&'a str>,
    model: Option<&'a str>,
    /// A member of that name is there, or the answer calls itself so.
    error: bool,
}

// === impl Answer ===

impl<'a> Answer<'a> {
    /// `None` where it is no JSON object.
    fn of(whole: &'a [u8]) -> Option<Self> {
        let mut answer = Self {
            text: std::str::from_utf8(whole).ok()?,
            choices: "",
            usage: "null",
            timings: None,
            model: None,
            error: false,
        };
        scan::object(answer.text, DEPTH, &mut answer).ok()?;
        Some(answer)
    }
}

impl scan::Visit for &mut Answer<'_> {
    fn member(&mut self, member: Member) {
        let value = &self.text[member.value];
        match &self.text[member.key] {
            r#""choices""# => self.choices = value,
            r#""usage""# => self.usage = value,
            r#""timings""# => self.timings = Some(value),
            r#""model""# => self.model = Some(value),
            r#""error""# => self.error = true,
            r#""object""# => self.error |= value == r#""error""#,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_names_that_clients_know() {
        let read = |text: &'static str| mended(text.into(), HashSet::new());
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
        let answer = Answer::of(
            br#"{"choices":[{"usage":1,"error":2}],"usage":{"prompt_tokens":3},"timings":{}}"#,
        )
        .unwrap();
        assert_eq!(answer.choices, r#"[{"usage":1,"error":2}]"#);
        assert_eq!(answer.usage, r#"{"prompt_tokens":3}"#);
        assert_eq!(answer.timings, Some("{}"));
        assert!(!answer.error);
        assert!(Answer::of(br#"{"error":"x"}"#).unwrap().error);
        assert!(Answer::of(br#"{"object":"error"}"#).unwrap().error);
        for bad in [&b"[]"[..], b"{", b"{}{}", b"", b"{\"a\":\"\xff\"}"] {
            assert!(Answer::of(bad).is_none());
        }
    }
}
