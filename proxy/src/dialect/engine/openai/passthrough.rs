//! The stream of an engine that speaks OpenAI's chat completions: its own bytes, watched on the side.
//!
//! The watcher looks for a handful of keys in each whole event and parses JSON only where one of them
//! matters: token counts, an error, a tool call. An event that it does not understand passes. The
//! frames `data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n` go on as the slices of memory that
//! came.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};
use crucible_config::checked::EngineKind;
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    event_lines::{error_line, has_data, has_text, is_named_error},
    no_answer::no_answer,
    respelled::respelled,
    unstreamed,
};
use crate::{
    body::surrogates,
    dialect::{
        chat::{DONE, EngineTranscoder, StreamProgress, event_keys::EventKeys, with_cached},
        engine::{
            call_ids::CallIds,
            engine_error::{error_in_event, error_in_words},
        },
    },
    error::{Error, ErrorKind, UpstreamError},
    sse::{
        event,
        framer::{EventFramer, FramedEvent},
        stream_detector::StreamDetector,
    },
    usage::{LlamaTimings, OpenAiUsage, ReportedObject, Usage},
};

/// The [`EngineTranscoder`] for LM Studio, llama.cpp and OpenAI-compatible servers.
///
/// ```
/// use std::collections::VecDeque;
///
/// use bytes::Bytes;
/// use crucible::dialect::{chat::EngineTranscoder, engine::openai::passthrough::ChatPassthrough};
/// use crucible_config::checked::EngineKind;
///
/// let mut stream = ChatPassthrough::new(EngineKind::Llamacpp, false, 1 << 20);
/// let mut sent = VecDeque::new();
/// let frame = Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n");
/// let progress = stream.push(frame.clone(), &mut sent)?;
/// assert_eq!((progress.events, progress.content, progress.complete), (1, 1, false));
/// // The engine's own bytes go on.
/// assert_eq!(sent, [frame]);
/// // A stream that ends here was cut: no `finish_reason` has come.
/// assert!(stream.finish(&mut sent).is_err());
/// # Ok::<(), crucible::error::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatPassthrough {
    detector: StreamDetector,
    framer: EventFramer,
    watch: EventWatch,
    cap: usize,
    /// Whether the last event was taken out.
    dropped: bool,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
struct EventWatch {
    kind: EngineKind,
    answerer: StreamAnswerer,
    /// Whether the event of the token counts is taken out, because it comes only since Crucible asked
    /// for it.
    drop_usage: bool,
    /// Whether a `finish_reason` came and no content after it: with several choices, one may end while
    /// another goes on.
    finished: bool,
    done: bool,
    content: u64,
    ids: CallIds,
    /// Whether the content of an event is a `text`, as in the answer to a raw prompt.
    texts: bool,
}

/// The model that the engine says it answers with, in the `model` of the first event with data.
#[derive(Debug)]
enum StreamAnswerer {
    /// The first event is not looked at.
    Ignored,
    /// The first event has not come.
    Awaited,
    /// The first event has come; it may name none.
    Read(Option<String>),
}

/// The fate of an event.
enum EventAction {
    Forward,
    Drop,
    Replace(Bytes),
}

// === impl ChatPassthrough ===

impl ChatPassthrough {
    /// Makes a transcoder. `drop_usage`: the token counts were asked for on the client's behalf; `cap` is
    /// the largest event in bytes.
    pub fn new(kind: EngineKind, drop_usage: bool, cap: usize) -> Self {
        Self {
            detector: StreamDetector::new(),
            framer: EventFramer::new(cap),
            cap,
            watch: EventWatch {
                kind,
                answerer: StreamAnswerer::Ignored,
                drop_usage,
                finished: false,
                done: false,
                content: 0,
                ids: CallIds::default(),
                texts: false,
            },
            dropped: false,
        }
    }

    /// Sets the ids of tool calls that the conversation has already.
    pub(crate) fn with_ids(mut self, ids: CallIds) -> Self {
        self.watch.ids = ids;
        self
    }

    /// Reads events of the answer to a raw prompt, whose content is a `text`.
    #[must_use]
    pub fn of_texts(mut self) -> Self {
        self.watch.texts = true;
        self
    }

    /// Sets whether the model that answers is read from the first event.
    #[must_use]
    pub fn reading_answerer(mut self, reads: bool) -> Self {
        self.watch.answerer = if reads {
            StreamAnswerer::Awaited
        } else {
            StreamAnswerer::Ignored
        };
        self
    }

    fn events(
        &mut self,
        frame: &Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<StreamProgress, Error> {
        let Self {
            framer,
            watch,
            dropped,
            ..
        } = self;
        let mut progress = StreamProgress::default();
        // Neighbouring untouched events go on as one slice of the engine's own frame.
        let mut run: Option<Range<usize>> = None;
        let pushed = framer.push(frame, |event| {
            let (bytes, range) = match &event {
                FramedEvent::InFrame(range) => (&frame[range.clone()], Some(range.clone())),
                FramedEvent::Joined(bytes) => (&bytes[..], None),
                FramedEvent::Rest(range) => {
                    // It shares the fate of its event.
                    if !*dropped {
                        run = Some(range.clone());
                    }
                    return Ok(());
                }
            };
            let verdict = watch.see(bytes, &mut progress);
            *dropped = matches!(verdict, Ok(EventAction::Drop));
            match (verdict, range) {
                (Ok(EventAction::Forward), Some(range)) => {
                    let start = run.as_ref().map_or(range.start, |run| run.start);
                    run = Some(start..range.end);
                }
                (verdict, _) => {
                    if let Some(run) = run.take() {
                        out.push_back(frame.slice(run));
                    }
                    match verdict? {
                        EventAction::Forward => {
                            if let FramedEvent::Joined(bytes) = event {
                                out.push_back(bytes);
                            }
                        }
                        EventAction::Drop => {}
                        EventAction::Replace(bytes) => out.push_back(bytes),
                    }
                }
            }
            Ok::<(), Error>(())
        })?;
        if let Some(run) = run.take() {
            out.push_back(frame.slice(run));
        }
        if pushed.is_err() {
            return Err(oversize());
        }
        progress.complete = watch.complete();
        progress.open = progress.complete && !watch.done;
        Ok(progress)
    }
}

impl EngineTranscoder for ChatPassthrough {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        match self.detector.pass(frame, self.cap) {
            Ok(Some(frame)) => self.events(&frame, out),
            Ok(None) => Ok(StreamProgress::default()),
            Err(_) => Err(oversize()),
        }
    }

    fn answerer(&self) -> Option<&str> {
        match &self.watch.answerer {
            StreamAnswerer::Read(name) => name.as_deref(),
            StreamAnswerer::Ignored | StreamAnswerer::Awaited => None,
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = StreamProgress::default();
        match self.detector.end() {
            Ok(None) => {}
            Ok(Some(whole)) => {
                for event in unstreamed::events(self.watch.kind, whole)? {
                    progress.join(self.events(&event, out)?);
                }
            }
            Err(begun) => progress.join(self.events(&begun, out)?),
        }
        let tail = self.framer.tail();
        if is_whole(&tail) {
            let body = match self.watch.see(&tail, &mut progress)? {
                EventAction::Forward => Some(tail.clone()),
                EventAction::Replace(bytes) => Some(bytes),
                EventAction::Drop => None,
            };
            if let Some(body) = body {
                let mut whole = BytesMut::from(body.trim_ascii_end());
                whole.extend_from_slice(b"\n\n");
                out.push_back(whole.freeze());
            }
        }
        if !self.watch.complete() {
            return Err(if self.watch.content == 0 && tail.is_empty() {
                no_answer(self.watch.kind)
            } else {
                Error::new(
                    ErrorKind::EngineCut,
                    "the engine's stream was cut before its end",
                )
            });
        }
        if !self.watch.done {
            out.push_back(Bytes::from_static(DONE));
        }
        progress.complete = true;
        Ok(progress)
    }
}

// === impl EventWatch ===

impl EventWatch {
    fn complete(&self) -> bool {
        self.finished || (self.done && self.content > 0)
    }

    fn see(&mut self, event: &[u8], progress: &mut StreamProgress) -> Result<EventAction, Error> {
        if !has_data(event) {
            return match error_line(event) {
                Some(data) => Err(error_in_event(self.kind, "error", &data)
                    .unwrap_or_else(|| no_answer(self.kind))),
                None => Ok(EventAction::Forward),
            };
        }
        progress.events += 1;
        if matches!(self.answerer, StreamAnswerer::Awaited) {
            self.answerer = StreamAnswerer::Read(model(event));
        }
        let mut keys = EventKeys::of(event);
        keys.content |= self.texts && has_text(event);
        if keys.done && event::read(event).is_some_and(|e| e.1 == "[DONE]") {
            self.done = true;
            return if self.complete() {
                Ok(EventAction::Forward)
            } else {
                Err(no_answer(self.kind))
            };
        }
        if keys.error || keys.name && is_named_error(event) {
            self.refuse_error(event)?;
        }
        if !keys.choices
            && !self.complete()
            && let Some((name, data)) = event::read(event)
            && let Some(error) = error_in_words(self.kind, &name, &data)
        {
            return Err(error);
        }
        if keys.content {
            self.content += 1;
            progress.content += 1;
            self.finished = false;
        }
        progress.calls |= keys.calls;
        if keys.finish {
            self.finished = true;
        }
        let mut mended = keys.calls.then(|| self.with_own_ids(event)).flatten();
        if keys.usage
            && let Some((usage, extra)) = usage(event)
        {
            progress.usage = usage.or(progress.usage);
            if extra && self.drop_usage {
                return Ok(EventAction::Drop);
            }
            let cached = usage.and_then(|usage| usage.cached);
            let told = |cached| with_cached(mended.as_deref().unwrap_or(event), cached);
            mended = cached.and_then(told).or(mended);
        }
        Ok(match (keys.reasoning, mended) {
            (true, mended) => EventAction::Replace(respelled(mended.as_deref().unwrap_or(event))),
            (false, Some(mended)) => EventAction::Replace(mended),
            (false, None) => EventAction::Forward,
        })
    }

    /// Returns the event with its tool calls mended; `None` where they may stay.
    fn with_own_ids(&mut self, event: &[u8]) -> Option<Bytes> {
        let (_, data) = event::read(event)?;
        let data = surrogates::mended_text(&data);
        let mut value: Value = serde_json::from_str(&data).ok()?;
        let mended = self.ids.mend_event(&mut value);
        mended.then(|| format!("data: {value}\n\n").into())
    }

    /// Refuses an event whose name or top level says that it is an error. The word elsewhere in it is
    /// none.
    fn refuse_error(&self, event: &[u8]) -> Result<(), Error> {
        let error =
            event::read(event).and_then(|(name, data)| error_in_event(self.kind, &name, &data));
        error.map_or(Ok(()), Err)
    }
}

fn oversize() -> Error {
    Error::new(
        ErrorKind::EngineError,
        "the engine sent an event larger than limits.event",
    )
    .upstream(UpstreamError::Oversize)
}

/// Reports whether the tail of a stream is an event whose data is not cut.
fn is_whole(tail: &[u8]) -> bool {
    event::read(tail).is_some_and(|(_, data)| {
        data == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(&data).is_ok()
    })
}

/// Returns the token counts of an event where it has good ones, and whether the event has nothing else
/// (`choices` is empty).
fn usage(event: &[u8]) -> Option<(Option<Usage>, bool)> {
    let (_, data) = event::read(event)?;
    let value: Value = serde_json::from_str(&data).ok()?;
    let counts = ReportedObject::<OpenAiUsage>::deserialize(value.get("usage")?).ok()?;
    let timings = ReportedObject::<LlamaTimings>::deserialize(&value["timings"]).ok()?;
    let usage = Usage::of_openai(&counts.0, &timings.0);
    let extra = value["choices"].as_array().is_some_and(Vec::is_empty);
    Some((usage, extra))
}

/// Returns the `model` of an event.
fn model(event: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Chunk {
        model: Option<String>,
    }
    let (_, data) = event::read(event)?;
    serde_json::from_str::<Chunk>(&data).ok()?.model
}

#[cfg(test)]
mod tests;
