//! A chat event, or a whole chat completion, by the members from which other formats are written.
//!
//! Texts stay raw: they are spliced into the client's events without being decoded.

use std::borrow::Cow;

use serde_json::{Value, value::RawValue};

use super::json_text::{decoded, inner, quoted};
use crate::{
    error::{Error, ErrorKind, UpstreamError},
    members::json_objects,
    usage::{LlamaTimings, OpenAiUsage, ReportedObject, Usage},
};

json_objects! {
    /// A chunk of a chat completion, or a whole one.
    pub(crate) struct ChatAnswer<'a> {
        choices: Option<Vec<ChatChoice<'a>>>,
        usage: Option<&'a RawValue>,
        /// The times and counts of llama.cpp's server.
        timings: Option<&'a RawValue>,
        model: Option<&'a RawValue>,
    }

    /// One of the choices of a chat event or completion; only the first one is told in other formats.
    pub(crate) struct ChatChoice<'a> {
        index: Option<u64>,
        /// The new part of the message in an event (`delta`), or the whole one of a completion
        /// (`message`).
        pub(crate) delta: Option<ChatDelta<'a>> = "message",
        finish_reason: Option<&'a RawValue>,
        /// vLLM's name for the stop sequence that ended the answer, or for the token.
        stop_reason: Option<&'a RawValue>,
        logprobs: Option<&'a RawValue>,
        /// The piece of a raw text, in an answer of `/v1/completions`.
        text: Option<&'a RawValue>,
    }

    /// A message, or what is new of it.
    pub(crate) struct ChatDelta<'a> {
        content: Option<&'a RawValue>,
        reasoning_content: Option<&'a RawValue>,
        refusal: Option<&'a RawValue>,
        tool_calls: Option<Vec<ToolCall<'a>>>,
        /// The only call of an answer, as it was before there were lists of calls.
        function_call: Option<CalledFunction<'a>>,
    }

    /// A tool call, or what is new of it.
    struct ToolCall<'a> {
        index: Option<u64>,
        id: Option<&'a RawValue>,
        function: Option<CalledFunction<'a>>,
    }

    /// The function of a call.
    struct CalledFunction<'a> {
        name: Option<&'a RawValue>,
        arguments: Option<&'a RawValue>,
    }
}

/// The texts of a message, each the inside of a JSON string and perhaps empty.
#[derive(Debug, Default)]
pub(crate) struct AnswerTexts<'a> {
    /// The model's thinking (`reasoning_content`).
    pub(crate) thoughts: Cow<'a, str>,
    /// The answer itself (`content`).
    pub(crate) text: Cow<'a, str>,
    /// The words in which the model refuses to answer (`refusal`).
    pub(crate) refusal: Cow<'a, str>,
}

/// A tool call, or what an event tells of one.
#[derive(Debug)]
pub(crate) struct CallPieces<'a> {
    /// The number of the call among those of the answer; `None` for a piece of the latest call.
    pub(crate) index: Option<u64>,
    /// Empty where it is not told.
    pub(crate) id: Cow<'a, str>,
    /// Empty where it is not told.
    pub(crate) name: Cow<'a, str>,
    /// The arguments, or what is new of them, as a raw JSON string; `None` where there are none or the
    /// string is empty.
    pub(crate) arguments: Option<Cow<'a, str>>,
}

/// The reason for which an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerEnd {
    Done,
    /// At the limit of tokens.
    Length,
    /// A filter of the engine ended the answer.
    Filter,
}

// === impl ChatAnswer ===

impl<'a> ChatAnswer<'a> {
    /// Reads the JSON of an event or completion.
    ///
    /// # Errors
    /// It is no chat answer; nothing is left out in silence.
    pub(crate) fn of(text: &'a str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|_| {
            Error::new(
                ErrorKind::EngineError,
                "the engine sent something that is no chat completion",
            )
            .upstream(UpstreamError::BadJson)
        })
    }

    /// Returns the first choice; others cannot be told in other formats.
    pub(crate) fn choice(&self) -> Option<&ChatChoice<'a>> {
        let mut choices = self.choices.iter().flatten();
        choices.find(|choice| choice.index.unwrap_or(0) == 0)
    }

    /// Returns the tokens of prompt and answer as the engine counted them; `None` where it told none.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let usage = serde_json::from_str::<ReportedObject<OpenAiUsage>>(self.usage?.get());
        let timings = self.timings.map(RawValue::get).unwrap_or_default();
        let timings = serde_json::from_str::<ReportedObject<LlamaTimings>>(timings);
        Usage::of_openai(&usage.unwrap_or_default().0, &timings.unwrap_or_default().0)
    }

    /// Returns the engine's name of the model.
    pub(crate) fn model(&self) -> Option<String> {
        serde_json::from_str(self.model?.get()).ok()
    }
}

// === impl ChatChoice ===

impl<'a> ChatChoice<'a> {
    /// Returns the reason of the end, once there is one.
    pub(crate) fn end(&self) -> Option<AnswerEnd> {
        match inner(self.finish_reason?.get()) {
            "" => None,
            "length" => Some(AnswerEnd::Length),
            "content_filter" => Some(AnswerEnd::Filter),
            _ => Some(AnswerEnd::Done),
        }
    }

    /// Returns the text of a raw prompt's answer: the inside of a JSON string.
    pub(crate) fn raw_text(&self) -> &'a str {
        self.text.map_or("", |raw| inner(raw.get()))
    }

    /// Returns the word by which vLLM names what ended the answer.
    pub(crate) fn stop_reason(&self) -> Option<String> {
        serde_json::from_str(self.stop_reason?.get()).ok()
    }

    /// Returns the probabilities of the text's tokens: the elements of a list, joined by commas.
    pub(crate) fn logprobs(&self) -> &'a str {
        json_objects! {
            /// The probabilities of an answer.
            struct Probabilities<'a> {
                content: Option<&'a RawValue>,
            }
        }
        let list = self.logprobs.and_then(|raw| {
            let read: Probabilities<'a> = serde_json::from_str(raw.get()).ok()?;
            let list = read.content?.get();
            list.strip_prefix('[')?.strip_suffix(']')
        });
        list.unwrap_or_default().trim()
    }
}

// === impl ChatDelta ===

impl<'a> ChatDelta<'a> {
    /// Returns the texts; a content that is a list of parts, in which some servers answer, is joined.
    pub(crate) fn texts(&self) -> AnswerTexts<'a> {
        let plain =
            |raw: Option<&'a RawValue>| Cow::Borrowed(raw.map_or("", |raw| inner(raw.get())));
        let mut texts = AnswerTexts {
            thoughts: plain(self.reasoning_content),
            text: plain(self.content),
            refusal: plain(self.refusal),
        };
        if let Some(list) = self.content.map(RawValue::get)
            && list.starts_with('[')
        {
            let (thoughts, text) = parts(list);
            texts.text = text.into();
            if texts.thoughts.is_empty() {
                texts.thoughts = thoughts.into();
            }
        }
        texts
    }

    /// Returns the calls, or the pieces of calls. The older form of a single call counts where there is no
    /// list.
    pub(crate) fn calls(&self) -> impl Iterator<Item = CallPieces<'a>> {
        let calls = self.tool_calls.as_deref().unwrap_or_default();
        let older = self.function_call.as_ref().filter(|_| calls.is_empty());
        let older = older.map(|function| CallPieces::of(None, None, Some(function)));
        let each = calls
            .iter()
            .map(|call| CallPieces::of(call.index, call.id, call.function.as_ref()));
        each.chain(older)
    }
}

// === impl CallPieces ===

impl<'a> CallPieces<'a> {
    fn of(
        index: Option<u64>,
        id: Option<&'a RawValue>,
        function: Option<&CalledFunction<'a>>,
    ) -> Self {
        let name = function.and_then(|function| function.name);
        let arguments = function.and_then(|function| function.arguments);
        Self {
            index,
            id: id.map_or(Cow::Borrowed(""), string),
            name: name.map_or(Cow::Borrowed(""), string),
            arguments: arguments.and_then(|raw| match raw.get() {
                r#""""# => None,
                raw if raw.starts_with('"') => Some(raw.into()),
                // An object in the place of its text.
                raw => Some(quoted(raw).into()),
            }),
        }
    }
}

fn string(raw: &RawValue) -> Cow<'_, str> {
    let raw = raw.get();
    if raw.starts_with('"') {
        decoded(raw)
    } else {
        raw.into()
    }
}

/// Returns the thoughts and the text of a content that is a list of parts.
fn parts(list: &str) -> (String, String) {
    let (mut thoughts, mut text) = (String::new(), String::new());
    let parts: Vec<Value> = serde_json::from_str(list).unwrap_or_default();
    for part in &parts {
        let kind = part["type"].as_str().unwrap_or_default();
        if kind.contains("thinking") || kind.contains("reasoning") {
            let said = ["thinking", "reasoning", "text"].map(|name| said(&part[name]));
            thoughts.push_str(inner(&quoted(&said.concat())));
        } else {
            text.push_str(inner(&quoted(&said(&part["text"]))));
        }
    }
    (thoughts, text)
}

/// Returns a text, or the texts of a list of parts.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(|part| said(&part["text"])).collect(),
        _ => String::new(),
    }
}
