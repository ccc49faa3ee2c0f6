//! The writer of the answer to one request of Ollama's API.

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::{
    answer::{answer_end::AnswerClock, line::LineHead, transcoder::LineTranslator, vectors, whole},
    request::ResidencyWish,
};
use crate::{
    dialect::chat::{
        AnswerWriter, ClientTranscoder, NativeApi, ResidencyRequest,
        event_translator::TranslatingTranscoder,
    },
    error::{Error, ErrorKind, UpstreamError},
};

/// The names of a chat request's members, and Ollama's for each.
const RENAMED: [(&str, &str); 12] = [
    ("max_tokens", "options.num_predict"),
    ("temperature", "options.temperature"),
    ("top_p", "options.top_p"),
    ("top_k", "options.top_k"),
    ("min_p", "options.min_p"),
    ("seed", "options.seed"),
    ("stop", "options.stop"),
    ("frequency_penalty", "options.frequency_penalty"),
    ("presence_penalty", "options.presence_penalty"),
    ("num_ctx", "options.num_ctx"),
    ("response_format.json_schema.schema", "format"),
    ("response_format", "format"),
];

/// Writes the answer to one request as lines, or as one document.
#[derive(Debug)]
pub(super) struct OllamaWriter {
    api: NativeApi,
    head: LineHead,
    clock: AnswerClock,
    /// The clock of the last attempt.
    asking: Mutex<Option<AnswerClock>>,
    cap: usize,
}

// === impl OllamaWriter ===

impl OllamaWriter {
    /// Makes the writer of one answer, which names the model as the client did; `cap` is the most bytes of an
    /// event (`limits.event`).
    pub(super) fn new(api: NativeApi, model: Option<&str>, cap: usize) -> Self {
        Self {
            api,
            head: LineHead {
                model: Value::from(model.unwrap_or_default()).to_string(),
                is_message: api == NativeApi::Chat,
            },
            clock: AnswerClock::start(),
            asking: Mutex::new(None),
            cap,
        }
    }

    /// Returns the wish of a request without a prompt, with its answer.
    pub(super) fn without_prompt(&self, wish: ResidencyWish) -> ResidencyRequest {
        let loads = wish == ResidencyWish::Load;
        let model = &self.head.model;
        let answer = match self.api {
            NativeApi::Embed => format!(r#"{{"model":{model},"embeddings":[]}}"#),
            NativeApi::Embeddings => r#"{"embedding":[]}"#.to_owned(),
            NativeApi::Chat | NativeApi::Generate => {
                let reason = if loads { "load" } else { "unload" };
                self.head.empty(&format!(r#","done_reason":"{reason}""#))
            }
        };
        ResidencyRequest {
            loads,
            answer: answer.into(),
        }
    }

    /// Returns the client's path for one of the chat request.
    fn path_of(&self, path: &str) -> Option<String> {
        let renamed = RENAMED.iter().find(|(chat, _)| *chat == path);
        if let Some((_, name)) = renamed {
            return Some((*name).to_owned());
        }
        match self.api {
            NativeApi::Chat => {
                let (message, part) = path.split_once(".content[")?;
                let part = part.strip_suffix("].image_url.url")?;
                // The text of a message is the part before its images.
                let at: usize = part.parse().ok()?;
                Some(format!("{message}.images[{}]", at.saturating_sub(1)))
            }
            NativeApi::Generate if path.starts_with("messages") => {
                let is_image = path.ends_with(".image_url.url");
                Some(if is_image { "images" } else { "prompt" }.to_owned())
            }
            NativeApi::Embeddings if path.starts_with("input") => Some("prompt".to_owned()),
            NativeApi::Generate | NativeApi::Embed | NativeApi::Embeddings => None,
        }
    }
}

impl AnswerWriter for OllamaWriter {
    fn asked(&self) {
        *self.asking.lock() = Some(self.clock.asking());
    }

    fn transcoder(&self) -> Box<dyn ClientTranscoder> {
        let (head, clock) = (self.head.clone(), self.clock.asking());
        let lines = LineTranslator::new(head, clock, self.cap);
        Box::new(TranslatingTranscoder::new(lines))
    }

    fn whole(&self, completion: Bytes) -> Result<Bytes, Error> {
        let text = std::str::from_utf8(&completion).map_err(|_| {
            Error::new(ErrorKind::EngineError, "the engine's answer is no UTF-8")
                .upstream(UpstreamError::BadJson)
        })?;
        let clock = self.asking.lock().unwrap_or(self.clock);
        let written = match self.api {
            NativeApi::Chat | NativeApi::Generate => {
                whole::answer(text, &self.head, &clock, self.cap)
            }
            NativeApi::Embed => vectors::list(text, &self.head.model, &clock),
            NativeApi::Embeddings => vectors::single(text),
        };
        written.map(Bytes::from)
    }

    fn respelled(&self, mut error: Error) -> Error {
        let Some(path) = &error.param else {
            return error;
        };
        if let Some(own) = self.path_of(path) {
            let (from, to) = (format!("`{path}`"), format!("`{own}`"));
            error.message = error.message.replace(&from, &to).into();
            error.param = Some(own);
        }
        error
    }
}
