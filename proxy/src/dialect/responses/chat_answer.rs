//! The parts of a chat answer that a response is made of, read from an event or from a whole
//! completion. Texts stay raw: they are spliced into the client's events without being decoded.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::object::{inner, quoted};
use crate::{
    error::{Error, ErrorKind, UpstreamError},
    usage::{LlamaTimings, OpenAiUsage, ReportedObject, Usage},
};

/// A chunk of a chat completion, or a whole one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ChatAnswer<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<AnswerChoice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    /// The times and counts of llama.cpp's server.
    #[serde(borrow, default)]
    timings: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

/// One of the choices of a chat event or completion; only the first one becomes output items.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AnswerChoice<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default, alias = "message")]
    pub(super) delta: Option<ChatDelta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

/// A message, or what is new of it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ChatDelta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<DeltaCall<'a>>>,
}

/// A tool call, or what is new of it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct DeltaCall<'a> {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<DeltaFunction<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct DeltaFunction<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// The texts of a message, each the inside of a JSON string and perhaps empty.
#[derive(Debug, Default)]
pub(super) struct AnswerTexts<'a> {
    pub(super) thoughts: Cow<'a, str>,
    pub(super) text: Cow<'a, str>,
    pub(super) refusal: Cow<'a, str>,
}

/// The reason for which an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    Done,
    /// At the limit of tokens.
    Length,
    /// By a filter.
    Filter,
}

// === impl ChatAnswer ===

impl<'a> ChatAnswer<'a> {
    /// Reads the JSON of an event or completion.
    ///
    /// # Errors
    /// It is no chat answer; nothing is left out in silence.
    pub(super) fn of(text: &'a str) -> Result<Self, Error> {
        // An empty list would be read as an object without members.
        let read = text
            .trim_start()
            .starts_with('{')
            .then(|| serde_json::from_str(text));
        read.and_then(Result::ok).ok_or_else(|| {
            Error::new(
                ErrorKind::EngineError,
                "the engine sent something that is no chat completion",
            )
            .upstream(UpstreamError::BadJson)
        })
    }

    /// Returns the first choice; others cannot be told in this format.
    pub(super) fn choice(&self) -> Option<&AnswerChoice<'a>> {
        let mut choices = self.choices.iter().flatten();
        choices.find(|choice| choice.index.unwrap_or(0) == 0)
    }

    /// Returns the token counts.
    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = serde_json::from_str::<ReportedObject<OpenAiUsage>>(self.usage?.get());
        let timings = self.timings.map(RawValue::get).unwrap_or_default();
        let timings = serde_json::from_str::<ReportedObject<LlamaTimings>>(timings);
        Usage::of_openai(&usage.unwrap_or_default().0, &timings.unwrap_or_default().0)
    }

    /// Returns the engine's name of the model.
    pub(super) fn model(&self) -> Option<String> {
        serde_json::from_str(self.model?.get()).ok()
    }
}

// === impl AnswerChoice ===

impl<'a> AnswerChoice<'a> {
    /// Returns the reason of the end, once there is one.
    pub(super) fn end(&self) -> Option<AnswerEnd> {
        match inner(self.finish_reason?.get()) {
            "" => None,
            "length" => Some(AnswerEnd::Length),
            "content_filter" => Some(AnswerEnd::Filter),
            _ => Some(AnswerEnd::Done),
        }
    }

    /// Returns the probabilities of the text's tokens: the elements of a list, joined by commas.
    pub(super) fn logprobs(&self) -> &'a str {
        #[derive(Deserialize)]
        struct Probabilities<'a> {
            #[serde(borrow, default)]
            content: Option<&'a RawValue>,
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
    pub(super) fn texts(&self) -> AnswerTexts<'a> {
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
}

// === impl DeltaCall ===

impl<'a> DeltaCall<'a> {
    /// Returns the id as it stands between the quotes; empty where there is none.
    pub(super) fn id(&self) -> Cow<'a, str> {
        self.id.map_or(Cow::Borrowed(""), string)
    }

    pub(super) fn name(&self) -> Cow<'a, str> {
        let function = self.function.as_ref();
        let name = function.and_then(|function| function.name);
        name.map_or(Cow::Borrowed(""), string)
    }

    /// Returns the arguments, or what is new of them, as a raw JSON string; `None` where there are
    /// none or the string is empty.
    pub(super) fn arguments(&self) -> Option<Cow<'a, str>> {
        let raw = self.function.as_ref()?.arguments?.get();
        match raw {
            r#""""# => None,
            _ if raw.starts_with('"') => Some(raw.into()),
            // An object in the place of its text.
            _ => Some(quoted(raw).into()),
        }
    }
}

fn string(raw: &RawValue) -> Cow<'_, str> {
    let raw = raw.get();
    if raw.starts_with('"') {
        super::object::decoded(raw)
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
