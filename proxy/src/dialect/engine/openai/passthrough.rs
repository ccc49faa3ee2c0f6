//! The stream of an engine that speaks OpenAI's chat completions: its own bytes, watched on the side.
//!
//! The watcher looks for a handful of keys in each whole event and parses JSON only where one of them
//! matters: token counts, an error, a tool call. An event that it does not understand passes. The
//! frames `data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n` go on as the slices of memory that
//! came.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use crucible_config::checked::EngineKind;
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    event_lines::{error_line, has_data, has_text, is_named_error, is_object},
    half_characters::HalfCharacters,
    no_answer::no_answer,
    prompt_events::{PromptEvents, prompt_progress},
    respelled::respelled,
    unstreamed,
};
use crate::{
    dialect::{
        chat::{DONE, EngineTranscoder, StreamProgress, event_keys::EventKeys, with_cached},
        engine::{
            call_ids::CallIds,
            engine_error::{error_in_event, error_in_words},
            watched_stream::{EventAction, EventWatch, WatchedStream},
        },
    },
    error::{Error, ErrorKind},
    sse::event,
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
pub struct ChatPassthrough(WatchedStream<ChatWatch>);

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
struct ChatWatch {
    kind: EngineKind,
    answerer: StreamAnswerer,
    /// Whether the event of the token counts is taken out, because it comes only since Crucible asked
    /// for it.
    drop_usage: bool,
    prompt_events: PromptEvents,
    /// Whether a `finish_reason` came and no content after it: with several choices, one may end while
    /// another goes on.
    finished: bool,
    done: bool,
    content: u64,
    ids: CallIds,
    /// Whether the content of an event is a `text`, as in the answer to a raw prompt.
    texts: bool,
    halves: HalfCharacters,
    /// Events that were kept back and can go on.
    released: BytesMut,
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

// === impl ChatPassthrough ===

impl ChatPassthrough {
    /// Makes a transcoder. `drop_usage`: the token counts were asked for on the client's behalf; `cap` is
    /// the largest event in bytes.
    pub fn new(kind: EngineKind, drop_usage: bool, cap: usize) -> Self {
        let watch = ChatWatch {
            kind,
            answerer: StreamAnswerer::Ignored,
            drop_usage,
            prompt_events: PromptEvents::Ignored,
            finished: false,
            done: false,
            content: 0,
            ids: CallIds::default(),
            texts: false,
            halves: HalfCharacters::default(),
            released: BytesMut::new(),
        };
        Self(WatchedStream::new(watch, cap))
    }

    /// Sets the ids of tool calls that the conversation has already.
    pub(crate) fn with_ids(mut self, ids: CallIds) -> Self {
        self.0.watch.ids = ids;
        self
    }

    /// Sets what becomes of the reports on the reading of the prompt.
    pub(crate) fn with_prompt_events(mut self, events: PromptEvents) -> Self {
        self.0.watch.prompt_events = events;
        self
    }

    /// Reads events of the answer to a raw prompt, whose content is a `text`.
    #[must_use]
    pub fn of_texts(mut self) -> Self {
        self.0.watch.texts = true;
        self
    }

    /// Sets whether the model that answers is read from the first event.
    #[must_use]
    pub fn reading_answerer(mut self, reads: bool) -> Self {
        self.0.watch.answerer = if reads {
            StreamAnswerer::Awaited
        } else {
            StreamAnswerer::Ignored
        };
        self
    }

    /// Adds to the progress whether the answer is complete, and whether more of it may come.
    fn with_ends(&self, mut progress: StreamProgress) -> StreamProgress {
        let watch = &self.0.watch;
        progress.complete = watch.complete();
        progress.open = progress.complete && !watch.done;
        progress
    }
}

impl EngineTranscoder for ChatPassthrough {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let progress = self.0.push(frame, out)?;
        Ok(self.with_ends(progress))
    }

    fn answerer(&self) -> Option<&str> {
        match &self.0.watch.answerer {
            StreamAnswerer::Read(name) => name.as_deref(),
            StreamAnswerer::Ignored | StreamAnswerer::Awaited => None,
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = StreamProgress::default();
        if let Some(whole) = self.0.end(out, &mut progress)? {
            for event in unstreamed::events(self.0.watch.kind, whole)? {
                progress.join(self.0.events(&event, out)?);
            }
        }
        let has_no_tail = self.0.tail(is_whole, out, &mut progress)?;
        let watch = &mut self.0.watch;
        let kept = watch.halves.release();
        watch.judge_all(kept, &mut progress)?;
        out.extend(watch.released());
        if !watch.complete() {
            return Err(if watch.content == 0 && has_no_tail {
                no_answer(watch.kind)
            } else {
                Error::new(
                    ErrorKind::EngineCut,
                    "the engine's stream was cut before its end",
                )
            });
        }
        if !watch.done {
            out.push_back(Bytes::from_static(DONE));
        }
        progress.complete = true;
        Ok(progress)
    }

    fn fail(&mut self, _error: &Error) -> Option<Bytes> {
        // Nothing follows the end of an answer.
        self.0.watch.done.then(Bytes::new)
    }
}

// === impl ChatWatch ===

impl ChatWatch {
    fn complete(&self) -> bool {
        self.finished || self.done
    }

    /// Looks at events one by one, and keeps what becomes of them for [`EventWatch::released`].
    fn judge_all(
        &mut self,
        events: impl IntoIterator<Item = Bytes>,
        progress: &mut StreamProgress,
    ) -> Result<(), Error> {
        for event in events {
            let keys = EventKeys::of(&event);
            match self.judge(&event, keys, progress)? {
                EventAction::Forward => self.released.extend_from_slice(&event),
                EventAction::Replace(bytes) => self.released.extend_from_slice(&bytes),
                EventAction::Drop => {}
            }
        }
        Ok(())
    }

    /// Judges an event with data, in which these keys stand.
    fn judge(
        &mut self,
        event: &[u8],
        mut keys: EventKeys,
        progress: &mut StreamProgress,
    ) -> Result<EventAction, Error> {
        if self.done {
            return Ok(EventAction::Drop);
        }
        if keys.done && event::read(event).is_some_and(|e| e.1 == "[DONE]") {
            progress.events += 1;
            self.done = self.finished || self.content > 0;
            return if self.done {
                Ok(EventAction::Forward)
            } else {
                Err(no_answer(self.kind))
            };
        }
        keys.content |= self.texts && has_text(event);
        self.refuse_error(event, keys)?;
        if !is_object(event) {
            // No part of an answer, whatever it is, and nothing that a client could read as one.
            tracing::debug!(
                bytes = event.len(),
                "an event that is no object is left out"
            );
            return Ok(EventAction::Drop);
        }
        if self.prompt_events != PromptEvents::Ignored
            && !keys.content
            && self.takes_out(event, progress)
        {
            return Ok(EventAction::Drop);
        }
        self.count(event, keys, progress);
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

    /// Counts an event of the answer.
    fn count(&mut self, event: &[u8], keys: EventKeys, progress: &mut StreamProgress) {
        progress.events += 1;
        if matches!(self.answerer, StreamAnswerer::Awaited) {
            self.answerer = StreamAnswerer::Read(model(event));
        }
        if keys.content {
            self.content += 1;
            self.prompt_events = PromptEvents::Ignored;
            progress.content += 1;
            self.finished = false;
        }
        progress.calls |= keys.calls;
        self.finished |= keys.finish;
    }

    /// Reads an event that reports on the reading of the prompt, and tells whether it is taken out.
    fn takes_out(&self, event: &[u8], progress: &mut StreamProgress) -> bool {
        let report = prompt_progress(event);
        progress.prompt = report.or(progress.prompt);
        report.is_some() && self.prompt_events == PromptEvents::TakenOut
    }

    /// Returns the event with its tool calls mended; `None` where they may stay.
    fn with_own_ids(&mut self, event: &[u8]) -> Option<Bytes> {
        let (_, data) = event::read(event)?;
        let mut value: Value = serde_json::from_str(&data).ok()?;
        let mended = self.ids.mend_event(&mut value);
        mended.then(|| format!("data: {value}\n\n").into())
    }

    /// Refuses an event whose name or top level says that it is an error, or which is one in words. The
    /// word elsewhere in it is none.
    fn refuse_error(&self, event: &[u8], keys: EventKeys) -> Result<(), Error> {
        if (keys.error || keys.name && is_named_error(event))
            && let Some((name, data)) = event::read(event)
            && let Some(error) = error_in_event(self.kind, &name, &data)
        {
            return Err(error);
        }
        if !keys.choices
            && !self.complete()
            && let Some((name, data)) = event::read(event)
            && let Some(error) = error_in_words(self.kind, &name, &data)
        {
            return Err(error);
        }
        Ok(())
    }
}

impl EventWatch for ChatWatch {
    fn see(&mut self, event: &[u8], progress: &mut StreamProgress) -> Result<EventAction, Error> {
        if self.done {
            return Ok(EventAction::Drop);
        }
        if !has_data(event) {
            let Some(data) = error_line(event) else {
                return Ok(EventAction::Forward);
            };
            let kept = self.halves.release();
            self.judge_all(kept, progress)?;
            return Err(
                error_in_event(self.kind, "error", &data).unwrap_or_else(|| no_answer(self.kind))
            );
        }
        let keys = EventKeys::of(event);
        if keys.surrogates || self.halves.is_keeping() {
            let events = self.halves.push(event);
            self.judge_all(events, progress)?;
            return Ok(EventAction::Drop);
        }
        self.judge(event, keys, progress)
    }

    fn released(&mut self) -> Option<Bytes> {
        (!self.released.is_empty()).then(|| self.released.split().freeze())
    }

    fn is_over(&self) -> bool {
        self.done
    }
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
