//! The stream of an engine that speaks the client's format: its own bytes, watched on the side.

use std::collections::VecDeque;

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde_json::Value;

use super::answer_event::{self, EventMeaning};
use crate::{
    dialect::{
        chat::{
            BegunStream, EngineTranscoder, FailureWriter, SharedFormat, SharedRequest,
            StreamProgress,
        },
        engine::{
            engine_error::{error_in_event, error_in_success, not_an_answer},
            openai::no_answer::no_answer,
            watched_stream::{EventAction, EventWatch, WatchedStream},
        },
    },
    error::{Error, ErrorKind},
    sse::event,
    usage::Usage,
};

/// The [`EngineTranscoder`] of a stream that is in the client's format already.
#[derive(Debug)]
pub(super) struct StreamPassthrough {
    stream: WatchedStream<AnswerWatch>,
    failed: FailureWriter,
}

/// The facts about an answer that its events have told so far.
#[derive(Debug)]
struct AnswerWatch {
    kind: EngineKind,
    format: SharedFormat,
    answerer: Option<String>,
    usage: Option<Usage>,
    begun: BegunStream,
    complete: bool,
}

// === impl StreamPassthrough ===

impl StreamPassthrough {
    /// Makes a transcoder for the answer of an engine of a kind; `cap` is the largest event in bytes.
    pub(super) fn new(kind: EngineKind, request: &SharedRequest, cap: usize) -> Self {
        let watch = AnswerWatch {
            kind,
            format: request.format,
            answerer: None,
            usage: None,
            begun: BegunStream::default(),
            complete: false,
        };
        Self {
            stream: WatchedStream::new(watch, cap),
            failed: request.failed,
        }
    }
}

impl EngineTranscoder for StreamPassthrough {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = self.stream.push(frame, out)?;
        progress.complete = self.stream.watch.complete;
        Ok(progress)
    }

    fn answerer(&self) -> Option<&str> {
        self.stream.watch.answerer.as_deref()
    }

    fn fail(&mut self, error: &Error) -> Option<Bytes> {
        let watch = &self.stream.watch;
        if watch.complete {
            // Nothing follows the end of an answer.
            return Some(Bytes::new());
        }
        (self.failed)(error, &watch.begun)
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let kind = self.stream.watch.kind;
        let mut progress = StreamProgress::default();
        if let Some(whole) = self.stream.end(out, &mut progress)? {
            return Err(
                error_in_success(kind, &whole).unwrap_or_else(|| not_an_answer(kind, &whole))
            );
        }
        self.stream.tail(event::is_whole, out, &mut progress)?;
        let watch = &self.stream.watch;
        if !watch.complete {
            return Err(if watch.begun.events > 0 {
                Error::new(
                    ErrorKind::EngineCut,
                    "the engine's stream was cut before its end",
                )
            } else {
                no_answer(kind)
            });
        }
        progress.complete = true;
        Ok(progress)
    }
}

// === impl AnswerWatch ===

impl EventWatch for AnswerWatch {
    fn see(&mut self, event: &[u8], progress: &mut StreamProgress) -> Result<EventAction, Error> {
        if self.complete {
            return Ok(EventAction::Drop);
        }
        let (meaning, value) = match name(event) {
            Some(name) => (answer_event::meaning(self.format, name), None),
            None => match event::read(event) {
                Some((_, data)) => {
                    let value: Value = serde_json::from_str(&data).unwrap_or_default();
                    let name = value["type"].as_str().unwrap_or_default();
                    (answer_event::meaning(self.format, name), Some(value))
                }
                None => return Ok(EventAction::Forward),
            },
        };
        if meaning == EventMeaning::Ping {
            return Ok(EventAction::Forward);
        }
        progress.events += 1;
        match meaning {
            EventMeaning::Content => progress.content += 1,
            EventMeaning::Failure => return Err(self.failure(event)),
            EventMeaning::Facts | EventMeaning::End => {
                let value = value.or_else(|| {
                    let (_, data) = event::read(event)?;
                    serde_json::from_str(&data).ok()
                });
                self.note(&value.unwrap_or_default(), progress);
                self.complete |= meaning == EventMeaning::End;
            }
            EventMeaning::Ping | EventMeaning::Other => {}
        }
        self.begun.events += 1;
        Ok(EventAction::Forward)
    }

    fn is_over(&self) -> bool {
        self.complete
    }
}

impl AnswerWatch {
    /// Notes the model, the tool calls and the counts of an event.
    fn note(&mut self, value: &Value, progress: &mut StreamProgress) {
        progress.calls |= answer_event::begins_call(value);
        let subject = answer_event::subject(value);
        if self.begun.response.is_null() {
            self.begun.response = value["response"].clone();
        }
        if self.answerer.is_none() {
            self.answerer = subject["model"].as_str().map(str::to_owned);
        }
        let told = answer_event::usage(self.format, &subject["usage"]);
        if let Some(told) = told {
            // The start of a message tells the prompt's tokens, its end the answer's.
            let before = self.usage.unwrap_or_default();
            let usage = Usage {
                prompt: told.prompt.max(before.prompt),
                completion: told.completion.max(before.completion),
                cached: told.cached.or(before.cached),
                ..told
            };
            self.usage = Some(usage);
            progress.usage = Some(usage);
        }
    }

    /// The error of an event that says that the engine failed.
    fn failure(&self, event: &[u8]) -> Error {
        let data = event::read(event).map(|(_, data)| data).unwrap_or_default();
        let value: Value = serde_json::from_str(&data).unwrap_or_default();
        let inner = &answer_event::subject(&value)["error"];
        let said = if inner.is_object() {
            serde_json::json!({ "error": inner }).to_string()
        } else {
            data
        };
        error_in_event(self.kind, "error", &said).unwrap_or_else(|| no_answer(self.kind))
    }
}

/// The name of an event whose first line tells it.
fn name(event: &[u8]) -> Option<&str> {
    let rest = event.strip_prefix(b"event:")?;
    let end = memchr::memchr2(b'\n', b'\r', rest)?;
    std::str::from_utf8(&rest[..end]).ok().map(str::trim)
}

#[cfg(test)]
mod tests;
