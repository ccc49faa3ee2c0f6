//! Requests of Ollama's own clients, for an Ollama: the client's members go out as they stand, with the load
//! options of the model, the gaps filled, and without what Crucible decides.
//!
//! `keep_alive` is never sent, `shift` is that of the load, and nothing is cut, except where `truncate` of an
//! embedding asks for it. The answer is always streamed and its lines pass, because a stream shows that the
//! engine is at work; a client that wants one document gets it at the end.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use crucible_config::checked::EngineKind;
use serde_json::Value;

use super::{
    request::runner,
    response::native::{PassedLines, PassedVectors, PassedWhole},
    think::think,
};
use crate::{
    body::object::JsonObject,
    dialect::{
        chat::{
            ChatRequest, NativeApi, NativeRequest, RequestTask, sampling::sampling_defaults,
            thinking::ThinkingRequest,
        },
        engine::{
            embeddings::{EmbeddingRequest, VectorReader, VectorSource},
            engine_format::{AnswerShape, EngineCall, EngineTarget},
            fields::stop::rewritten_stop,
        },
    },
    error::{Error, ErrorKind},
    prefix::{LATER_SYSTEM, as_user_text},
    usage::SlotReadings,
};

/// The members that are written anew, or left out.
const OWN: [&str; 8] = [
    "model",
    "stream",
    "options",
    "keep_alive",
    "shift",
    "truncate",
    "think",
    "_debug_render_only",
];

/// The options that are those of the load.
const RUNNER: [&str; 7] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
];

/// A request for Ollama as it is written from a client's.
struct NativeBody<'a> {
    chat: &'a ChatRequest,
    target: &'a EngineTarget<'a>,
    api: NativeApi,
    text: String,
    notes: Vec<String>,
    defaults: Vec<&'static str>,
}

/// Writes a request of an Ollama client for an Ollama. `chat` is the same request in the chat format.
///
/// # Errors
/// The body cannot be read, which it was before.
pub(super) fn write(
    native: &NativeRequest,
    chat: &ChatRequest,
    target: &EngineTarget<'_>,
) -> Result<EngineCall, Error> {
    let unreadable = || Error::new(ErrorKind::Internal, "a request was read and is no object");
    let text = std::str::from_utf8(&native.body).map_err(|_| unreadable())?;
    let object = JsonObject::of(text).ok_or_else(unreadable)?;
    let mut body = NativeBody {
        chat,
        target,
        api: native.api,
        text: String::with_capacity(text.len() + 512),
        notes: Vec::new(),
        defaults: Vec::new(),
    };
    body.members(&object);
    let slots: Arc<SlotReadings> = Arc::default();
    let samples = matches!(native.api, NativeApi::Chat | NativeApi::Generate);
    Ok(EngineCall {
        path: native.api.path(),
        answer: answer(native.api, chat, target, &slots)?,
        body: body.text.into(),
        defaults: body.defaults,
        notes: body.notes,
        dropped: Vec::new(),
        may_call_tools: chat.task == RequestTask::Chat && chat.peek.has_tools(&chat.body),
        slots: samples.then_some(slots),
        is_clients: true,
    })
}

/// Returns the reader of the answer.
fn answer(
    api: NativeApi,
    chat: &ChatRequest,
    target: &EngineTarget<'_>,
    slots: &Arc<SlotReadings>,
) -> Result<AnswerShape, Error> {
    let asked = chat.peek.model.as_deref().unwrap_or(target.model);
    let names = (target.model, asked);
    Ok(match api {
        NativeApi::Chat | NativeApi::Generate if chat.peek.stream => {
            let lines = PassedLines::new(names, Arc::clone(slots), target.event_limit);
            AnswerShape::Stream(Box::new(lines))
        }
        NativeApi::Chat | NativeApi::Generate => {
            let whole = PassedWhole::new(names, Arc::clone(slots), target.event_limit);
            AnswerShape::Aggregate(Box::new(whole))
        }
        NativeApi::Embed | NativeApi::Embeddings => {
            let read = EmbeddingRequest::read(chat)?;
            let reader = VectorReader::new(EngineKind::Ollama, VectorSource::Ollama, &read, asked);
            let reader = reader.with_copies(Vec::new(), target.context);
            AnswerShape::Document(Box::new(PassedVectors::new(names, reader)))
        }
    })
}

// === impl NativeBody ===

impl NativeBody<'_> {
    /// Writes all members: the client's in their order, then those that it lacks.
    fn members(&mut self, object: &JsonObject<'_>) {
        let _ = write!(self.text, r#"{{"model":{}"#, Value::from(self.target.model));
        for (name, _, value) in &object.members {
            let raw = &object.text[value.clone()];
            match &**name {
                // A raw prompt has no wish about thinking in the chat format.
                "think" if self.chat.task == RequestTask::Completion => self.member("think", raw),
                name if OWN.contains(&name) => {}
                "messages" => {
                    let messages = self.messages(raw);
                    self.member("messages", &messages);
                }
                name => self.member(name, raw),
            }
        }
        let options = self.options(object.get("options"));
        if options != "{}" {
            self.member("options", &options);
        }
        match self.api {
            NativeApi::Embeddings => {}
            NativeApi::Embed => {
                let cuts = object.get("truncate") == Some("true");
                if cuts {
                    self.notes.push(
                        "truncate: a text that is too long is cut by Ollama without a word"
                            .to_owned(),
                    );
                }
                self.member("truncate", if cuts { "true" } else { "false" });
            }
            NativeApi::Chat | NativeApi::Generate => self.of_answers(),
        }
        self.text.push('}');
    }

    /// Writes the members of requests that generate.
    fn of_answers(&mut self) {
        self.member("stream", "true");
        if !self.target.tuple.as_loaded {
            self.member("shift", "false");
        }
        self.member("truncate", "false");
        let wish = ThinkingRequest::of(&self.chat.body, &self.chat.peek);
        let think = think(&wish, (self.target.capabilities)(), &mut self.notes);
        if let Some(think) = think {
            self.member("think", &think.to_string());
        }
    }

    fn member(&mut self, name: &str, raw: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, ",{}:{raw}", Value::from(name));
    }

    /// Returns the options: those of the load, the client's without them, and the values that fill gaps.
    fn options(&mut self, sent: Option<&str>) -> String {
        let mut list = Vec::new();
        let sent = sent.and_then(JsonObject::of);
        for (name, _, value) in sent.iter().flat_map(|object| &object.members) {
            let raw = sent
                .as_ref()
                .map_or("null", |object| &object.text[value.clone()]);
            if RUNNER.contains(&&**name) || raw == "null" {
                continue;
            }
            let raw = match &**name {
                "stop" => self.stop(raw),
                "num_predict" => Some(self.limit(raw)),
                _ => Some(raw.into()),
            };
            if let Some(raw) = raw {
                list.push(format!("{}:{raw}", Value::from(&**name)));
            }
        }
        for (name, value) in runner(self.target.tuple) {
            list.push(format!("{}:{value}", Value::from(name)));
        }
        if matches!(self.api, NativeApi::Chat | NativeApi::Generate) {
            for (name, value) in sampling_defaults(self.target.defaults) {
                if let Some(value) = value
                    && self.chat.peek.raw(&self.chat.body, name).is_none()
                {
                    list.push(format!("\"{name}\":{}", Value::from(value)));
                    self.defaults.push(name);
                }
            }
        }
        format!("{{{}}}", list.join(","))
    }

    /// Returns `stop` without empty texts and as a list; `None` where none is left.
    fn stop<'a>(&mut self, raw: &'a str) -> Option<Cow<'a, str>> {
        let list = match rewritten_stop(raw) {
            None if raw.starts_with('[') => return Some(raw.into()),
            None => format!("[{raw}]"),
            Some(rewritten) => {
                self.notes.push(rewritten.note);
                rewritten.json?
            }
        };
        Some(list.into())
    }

    /// Returns the limit of the answer, which may have been lowered since the client sent it.
    fn limit<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        match self.chat.peek.max_tokens(&self.chat.body) {
            Some(limit) => limit.to_string().into(),
            None => raw.into(),
        }
    }

    /// Returns the messages; system messages in the middle become texts of the user, because Ollama's
    /// templates would join them at the front.
    fn messages<'a>(&mut self, raw: &'a str) -> Cow<'a, str> {
        let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw).unwrap_or_default();
        let role = |raw: &str| {
            let role = JsonObject::of(raw)?.get("role")?.to_lowercase();
            Some(role == "\"system\"")
        };
        let first = list
            .iter()
            .position(|message| role(message.get()) == Some(false));
        let is_later =
            |at: usize, raw: &str| first.is_some_and(|first| at > first) && role(raw) == Some(true);
        let mut all = list.iter().enumerate();
        if !self.target.prefix.later_system || !all.any(|(at, raw)| is_later(at, raw.get())) {
            return raw.into();
        }
        self.notes.push(LATER_SYSTEM.note.to_owned());
        let each = list.iter().enumerate().map(|(at, message)| {
            if is_later(at, message.get()) {
                as_users(message.get()).into()
            } else {
                Cow::Borrowed(message.get())
            }
        });
        format!("[{}]", each.collect::<Vec<_>>().join(",")).into()
    }
}

/// Returns a system message as a user's.
fn as_users(raw: &str) -> String {
    let content = JsonObject::of(raw)
        .and_then(|message| serde_json::from_str::<String>(message.get("content")?).ok());
    let content = Value::from(as_user_text(content.unwrap_or_default()));
    format!(r#"{{"role":"user","content":{content}}}"#)
}

#[cfg(test)]
mod tests;
