//! The stream of an engine that speaks the client's format: its own bytes, watched on the side.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};
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
        },
    },
    error::{Error, ErrorKind, UpstreamError},
    sse::{
        event,
        framer::{EventFramer, FramedEvent},
        stream_detector::StreamDetector,
    },
    usage::Usage,
};

/// The [`EngineTranscoder`] of a stream that is in the client's format already.
#[derive(Debug)]
pub(super) struct StreamPassthrough {
    detector: StreamDetector,
    framer: EventFramer,
    watch: AnswerWatch,
    cap: usize,
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
        Self {
            detector: StreamDetector::new(),
            framer: EventFramer::new(cap),
            watch: AnswerWatch {
                kind,
                format: request.format,
                answerer: None,
                usage: None,
                begun: BegunStream::default(),
                complete: false,
            },
            cap,
            failed: request.failed,
        }
    }

    fn events(
        &mut self,
        frame: &Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<StreamProgress, Error> {
        let Self { framer, watch, .. } = self;
        let mut progress = StreamProgress::default();
        // Neighbouring events go on as one slice of the engine's own frame.
        let mut run: Option<Range<usize>> = None;
        let pushed = framer.push(frame, |event| {
            let range = match &event {
                FramedEvent::InFrame(range) => {
                    watch.see(&frame[range.clone()], &mut progress)?;
                    range.clone()
                }
                FramedEvent::Joined(bytes) => {
                    watch.see(bytes, &mut progress)?;
                    out.push_back(bytes.clone());
                    return Ok(());
                }
                FramedEvent::Rest(range) => range.clone(),
            };
            let start = run.as_ref().map_or(range.start, |run| run.start);
            run = Some(start..range.end);
            Ok::<(), Error>(())
        });
        if let Some(run) = run {
            out.push_back(frame.slice(run));
        }
        if pushed?.is_err() {
            return Err(oversize());
        }
        progress.complete = watch.complete;
        Ok(progress)
    }
}

impl EngineTranscoder for StreamPassthrough {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        match self.detector.pass(frame, self.cap) {
            Ok(Some(frame)) => self.events(&frame, out),
            Ok(None) => Ok(StreamProgress::default()),
            Err(_) => Err(oversize()),
        }
    }

    fn answerer(&self) -> Option<&str> {
        self.watch.answerer.as_deref()
    }

    fn fail(&mut self, error: &Error) -> Option<Bytes> {
        (self.failed)(error, &self.watch.begun)
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let kind = self.watch.kind;
        let mut progress = StreamProgress::default();
        match self.detector.end() {
            Ok(None) => {}
            Ok(Some(whole)) => {
                return Err(
                    error_in_success(kind, &whole).unwrap_or_else(|| not_an_answer(kind, &whole))
                );
            }
            Err(begun) => progress = self.events(&begun, out)?,
        }
        let tail = self.framer.tail();
        if event::read(&tail).is_some_and(|(_, data)| serde_json::from_str::<Value>(&data).is_ok())
        {
            self.watch.see(&tail, &mut progress)?;
            let mut whole = BytesMut::from(tail.trim_ascii_end());
            whole.extend_from_slice(b"\n\n");
            out.push_back(whole.freeze());
        }
        if !self.watch.complete {
            return Err(if self.watch.begun.events > 0 {
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

impl AnswerWatch {
    fn see(&mut self, event: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        let (meaning, value) = match name(event) {
            Some(name) => (answer_event::meaning(self.format, name), None),
            None => match event::read(event) {
                Some((_, data)) => {
                    let value: Value = serde_json::from_str(&data).unwrap_or_default();
                    let name = value["type"].as_str().unwrap_or_default();
                    (answer_event::meaning(self.format, name), Some(value))
                }
                None => return Ok(()),
            },
        };
        if meaning == EventMeaning::Ping {
            return Ok(());
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
        Ok(())
    }

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

fn oversize() -> Error {
    Error::new(
        ErrorKind::EngineError,
        "the engine sent an event larger than limits.event",
    )
    .upstream(UpstreamError::Oversize)
}

#[cfg(test)]
mod tests;
