//! A line of Ollama's answer, as it is parsed.

use std::{
    borrow::Cow,
    fmt::{self, Formatter},
    ops::Deref,
};

use crucible_config::checked::EngineKind;
use http::StatusCode;
use serde::{Deserialize, Deserializer, de::Visitor};
use serde_json::value::RawValue;

use crate::{
    body::surrogates,
    dialect::engine::engine_error::engine_error,
    error::{Error, ErrorKind, UpstreamError},
    members::json_objects,
    usage::{MOST_TOKENS, SlotReadings, Timing, Usage},
};

json_objects! {
    /// A line of an answer: a piece of the message, and in the last one the counts.
    pub(super) struct AnswerLine<'a> {
        /// The new part of the message, in answers of `/api/chat`.
        pub(super) message: Option<AnswerMessage<'a>>,
        /// The piece of text that `/api/generate` adds instead of a message.
        pub(super) response: AnswerText<'a>,
        /// The thinking that `/api/generate` adds instead of a message.
        pub(super) thinking: AnswerText<'a>,
        done: Option<bool>,
        // Raw, because a malformed count is no reason to lose the answer.
        done_reason: Option<&'a RawValue>,
        prompt_eval_count: Option<&'a RawValue>,
        prompt_eval_duration: Option<&'a RawValue>,
        eval_count: Option<&'a RawValue>,
        eval_duration: Option<&'a RawValue>,
        /// The probabilities of the tokens as raw JSON, where the request asks for them.
        pub(super) logprobs: Option<&'a RawValue>,
        error: Option<&'a RawValue>,
    }

    /// The piece of the answer that a line adds.
    pub(super) struct AnswerMessage<'a> {
        /// The new text of the answer.
        pub(super) content: AnswerText<'a>,
        /// The new text of the model's thinking.
        pub(super) thinking: AnswerText<'a>,
        /// The tool calls of the line, each of them whole.
        pub(super) tool_calls: Option<Vec<AnswerCall<'a>>>,
    }
}

/// A text of an answer, which is empty where it is null.
#[derive(Debug, Default)]
pub(super) struct AnswerText<'a>(Cow<'a, str>);

/// A tool call, which Ollama sends whole.
#[derive(Debug, Deserialize)]
pub(super) struct AnswerCall<'a> {
    /// The id of the call as raw JSON; `None` from versions that give calls none.
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    /// The function that is called.
    #[serde(borrow)]
    pub(super) function: AnswerFunction<'a>,
}

/// The function that a tool call of an answer line names, with its arguments as JSON.
#[derive(Debug, Deserialize)]
pub(super) struct AnswerFunction<'a> {
    /// The name of the function.
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    /// The arguments as raw JSON, which Ollama writes as an object.
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
}

// === impl AnswerLine ===

impl AnswerLine<'_> {
    /// Returns the token counts; those that are missing are 0.
    ///
    /// The cached tokens stand in the readings of the engine's slots, where there are any: Ollama does not
    /// report them.
    pub(super) fn usage(&self, slots: &SlotReadings) -> Usage {
        let prompt = self.prompt_eval_count.and_then(tokens);
        let completion = self.eval_count.and_then(tokens);
        Usage {
            prompt: prompt.unwrap_or(0),
            completion: completion.unwrap_or(0),
            cached: prompt.and_then(|prompt| slots.cached(prompt)),
            cached_is_estimated: false,
            reasoning: None,
            timing: Timing::of_ollama(
                (prompt, self.prompt_eval_duration.and_then(number)),
                (completion, self.eval_duration.and_then(number)),
            ),
        }
    }

    /// Reports whether the line adds text, thinking or a call.
    pub(super) fn has_content(&self) -> bool {
        let is_said = |message: &AnswerMessage<'_>| {
            !message.content.is_empty() || !message.thinking.is_empty()
        };
        !self.response.is_empty()
            || !self.thinking.is_empty()
            || self.message.as_ref().is_some_and(is_said)
            || self.calls() > 0
    }

    /// Returns the number of calls that the line adds.
    pub(super) fn calls(&self) -> usize {
        let message = self.message.as_ref();
        message
            .and_then(|message| message.tool_calls.as_ref())
            .map_or(0, Vec::len)
    }

    /// Reports whether this is the last line.
    pub(super) fn is_last(&self) -> bool {
        self.done == Some(true)
    }

    /// Returns the `finish_reason`; `called` means that the answer holds tool calls.
    ///
    /// # Errors
    /// The engine loaded or unloaded the model instead of answering.
    pub(super) fn finish_reason(&self, called: bool) -> Result<String, Error> {
        let reason = self
            .done_reason
            .and_then(|raw| serde_json::from_str::<Cow<'_, str>>(raw.get()).ok());
        match reason.as_deref() {
            None | Some("" | "stop") if called => Ok("tool_calls".to_owned()),
            None | Some("") => Ok("stop".to_owned()),
            Some("load" | "unload") => Err(Error::new(
                ErrorKind::EngineError,
                "the engine loaded or unloaded the model instead of answering",
            )),
            Some(reason) => Ok(reason.to_owned()),
        }
    }
}

fn number(raw: &RawValue) -> Option<u64> {
    raw.get().parse().ok()
}

fn tokens(raw: &RawValue) -> Option<u64> {
    number(raw).filter(|count| *count <= MOST_TOKENS)
}

// === impl AnswerText ===

impl Deref for AnswerText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for AnswerText<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = AnswerText<'de>;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(AnswerText(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(AnswerText(text.to_owned().into()))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(AnswerText::default())
            }
        }

        from.deserialize_any(TextVisitor)
    }
}

/// Parses one line and hands it to `act`; a blank line is skipped.
///
/// # Errors
/// The line is an error of the engine, or no JSON.
pub(super) fn with_line(
    line: &[u8],
    act: impl FnOnce(&AnswerLine<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(line);
    let mended;
    let mut item = serde_json::from_str::<AnswerLine<'_>>(&text);
    if item.is_err() {
        // Half a character in an escape: the rest is worth more.
        mended = surrogates::mended_text(&text);
        item = serde_json::from_str(&mended);
    }
    let item: AnswerLine<'_> = item.map_err(|_| {
        if !text.starts_with(['{', '<', '[']) {
            // Words, or a bare string: what they say matters more than their form.
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return engine_error(EngineKind::Ollama, status, line);
        }
        Error::new(
            ErrorKind::EngineError,
            "the engine sent a line that is no answer",
        )
        .upstream(UpstreamError::BadJson)
    })?;
    if item.error.is_some_and(|error| error.get() != "null") {
        // Ollama 0.33: whatever fails after the first item comes as a line in a 200.
        return Err(engine_error(
            EngineKind::Ollama,
            StatusCode::INTERNAL_SERVER_ERROR,
            line,
        ));
    }
    act(&item)
}

/// The reason of an answer that ends behind a whole line, but without `done`: Ollama gives up so, and says it
/// in its own log alone (0.33, `llm/llama_server.go`; later versions send an error line).
const GAVE_UP: &str = "; Ollama ends an answer so in which the model wrote one token more than 30 times in a \
                       row: a higher temperature or repeat_penalty, or a larger model, may help";

/// The lines of an answer that Ollama gave up so: one for each time that the token came.
const REPEATED: u64 = 30;

/// Returns the error of a stream without a proper end, after `count` whole lines, whose last line has the result
/// `result`. A tail that is half a line means nothing more.
pub(super) fn cut(tail: &[u8], count: u64, result: Result<(), Error>) -> Error {
    match result {
        Err(error) if is_whole(tail) => error,
        _ => {
            let reason = if count >= REPEATED && tail.trim_ascii().is_empty() {
                GAVE_UP
            } else {
                ""
            };
            Error::new(
                ErrorKind::EngineCut,
                format!("the engine's answer ended in the middle{reason}"),
            )
        }
    }
}

/// Reports whether a tail is words, or JSON to its end.
fn is_whole(tail: &[u8]) -> bool {
    let tail = tail.trim_ascii();
    !tail.starts_with(b"{") || tail.ends_with(b"}")
}
