//! Streams of engines that speak OpenAI: the original bytes, watched on the side.
//!
//! The watcher looks for a handful of keys in each whole event and parses JSON only where one of
//! them says something that matters: usage, an error. What it does not understand passes.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};
use crucible_config::checked::EngineKind;
use memchr::memmem;
use serde_json::Value;

use crate::{
    body::surrogates,
    dialect::{
        chat::{EngineTranscoder, StreamProgress},
        engine::{
            call_ids::CallIds,
            engine_error::{error_in_event, error_in_words},
            openai::unstreamed,
        },
    },
    error::{Error, Kind, UpstreamError},
    sse::{
        event,
        form::Form,
        framer::{Event, Framer},
        keys::{Keys, value_at},
    },
    usage::Usage,
};

pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// [`EngineTranscoder`] for LM Studio, llama.cpp and OpenAI-compatible servers.
#[derive(Debug)]
pub struct Passthrough {
    form: Form,
    framer: Framer,
    watch: Watch,
    cap: usize,
    /// The last event was taken out.
    dropped: bool,
}

#[derive(Debug)]
struct Watch {
    kind: EngineKind,
    /// Take out the event that exists only because Crucible asked for usage.
    drop_usage: bool,
    /// A `finish_reason` came, and no content after it: with several choices, one may end while
    /// another goes on.
    finished: bool,
    done: bool,
    content: u64,
    /// Events with data so far.
    events: u64,
    /// What the first event with data has as its `model`, of LM Studio's streams.
    answerer: Option<String>,
    ids: CallIds,
}

/// What is to be done with an event.
enum AdmittedClient {
    Forward,
    Drop,
    Replace(Bytes),
}

// === impl Passthrough ===

impl Passthrough {
    /// `drop_usage`: usage was asked for on the client's behalf. `cap`: largest event in bytes.
    pub fn new(kind: EngineKind, drop_usage: bool, cap: usize) -> Self {
        Self {
            form: Form::new(),
            framer: Framer::new(cap),
            cap,
            watch: Watch {
                kind,
                drop_usage,
                finished: false,
                done: false,
                content: 0,
                events: 0,
                answerer: None,
                ids: CallIds::default(),
            },
            dropped: false,
        }
    }

    /// The ids of tool calls that are taken.
    pub(crate) fn with_ids(mut self, ids: CallIds) -> Self {
        self.watch.ids = ids;
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
                Event::InFrame(range) => (&frame[range.clone()], Some(range.clone())),
                Event::Joined(bytes) => (&bytes[..], None),
                Event::Rest(range) => {
                    // It shares the fate of its event.
                    if !*dropped {
                        run = Some(range.clone());
                    }
                    return Ok(());
                }
            };
            let verdict = watch.see(bytes, &mut progress);
            *dropped = matches!(verdict, Ok(AdmittedClient::Drop));
            match (verdict, range) {
                (Ok(AdmittedClient::Forward), Some(range)) => {
                    let start = run.as_ref().map_or(range.start, |run| run.start);
                    run = Some(start..range.end);
                }
                (verdict, _) => {
                    if let Some(run) = run.take() {
                        out.push_back(frame.slice(run));
                    }
                    match verdict? {
                        AdmittedClient::Forward => {
                            if let Event::Joined(bytes) = event {
                                out.push_back(bytes);
                            }
                        }
                        AdmittedClient::Drop => {}
                        AdmittedClient::Replace(bytes) => out.push_back(bytes),
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

impl EngineTranscoder for Passthrough {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        match self.form.pass(frame, self.cap) {
            Ok(Some(frame)) => self.events(&frame, out),
            Ok(None) => Ok(StreamProgress::default()),
            Err(_) => Err(oversize()),
        }
    }

    fn answerer(&self) -> Option<&str> {
        self.watch.answerer.as_deref()
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = StreamProgress::default();
        match self.form.end() {
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
                AdmittedClient::Forward => Some(tail.clone()),
                AdmittedClient::Replace(bytes) => Some(bytes),
                AdmittedClient::Drop => None,
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
                    Kind::EngineCut,
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

// === impl Watch ===

impl Watch {
    fn complete(&self) -> bool {
        self.finished || (self.done && self.content > 0)
    }

    fn see(
        &mut self,
        event: &[u8],
        progress: &mut StreamProgress,
    ) -> Result<AdmittedClient, Error> {
        if !has_data(event) {
            return match error_line(event) {
                Some(data) => Err(error_in_event(self.kind, "error", &data)
                    .unwrap_or_else(|| no_answer(self.kind))),
                None => Ok(AdmittedClient::Forward),
            };
        }
        progress.events += 1;
        if self.events == 0 && self.kind == EngineKind::Lmstudio {
            self.answerer = model(event);
        }
        self.events += 1;
        let keys = Keys::of(event);
        if keys.done && event::read(event).is_some_and(|e| e.1 == "[DONE]") {
            self.done = true;
            return if self.complete() {
                Ok(AdmittedClient::Forward)
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
        if keys.usage
            && let Some((usage, extra)) = usage(event)
        {
            progress.usage = usage.or(progress.usage);
            if extra && self.drop_usage {
                return Ok(AdmittedClient::Drop);
            }
        }
        let mended = keys.calls.then(|| self.with_own_ids(event)).flatten();
        Ok(match (keys.reasoning, mended) {
            (true, mended) => {
                AdmittedClient::Replace(respelled(mended.as_deref().unwrap_or(event)))
            }
            (false, Some(mended)) => AdmittedClient::Replace(mended),
            (false, None) => AdmittedClient::Forward,
        })
    }

    /// The event, if a tool call in it got another id or number, or arguments that are a text.
    fn with_own_ids(&mut self, event: &[u8]) -> Option<Bytes> {
        let (_, data) = event::read(event)?;
        let data = surrogates::mended_text(&data);
        let mut value: Value = serde_json::from_str(&data).ok()?;
        let mended = self.ids.mend_event(&mut value);
        mended.then(|| format!("data: {value}\n\n").into())
    }

    /// An error at the top level ends the stream, as does an event of that name; the word elsewhere
    /// does not.
    fn refuse_error(&self, event: &[u8]) -> Result<(), Error> {
        let error =
            event::read(event).and_then(|(name, data)| error_in_event(self.kind, &name, &data));
        error.map_or(Ok(()), Err)
    }
}

fn oversize() -> Error {
    Error::new(
        Kind::EngineError,
        "the engine sent an event larger than limits.event",
    )
    .upstream(UpstreamError::Oversize)
}

/// `[DONE]` or the end of the body, and nothing before it.
pub(crate) fn no_answer(kind: EngineKind) -> Error {
    Error::new(
        Kind::EngineError,
        "the engine's stream ended without an answer; LM Studio does so when the prompt is longer \
         than its context",
    )
    .upstream(UpstreamError::BadSse)
    .silent(kind)
}

/// Not only comments and blank lines.
fn has_data(event: &[u8]) -> bool {
    // As nearly every event does.
    if event.starts_with(b"data") {
        return true;
    }
    event
        .split(|b| matches!(b, b'\n' | b'\r'))
        .any(|line| line.starts_with(b"data"))
}

/// What follows a field `error`, which no standard knows and llama.cpp's server had once.
fn error_line(event: &[u8]) -> Option<String> {
    let mut lines = event.split(|b| matches!(b, b'\n' | b'\r'));
    let data = lines.find_map(|line| line.strip_prefix(b"error:"))?;
    Some(String::from_utf8_lossy(data).trim().to_owned())
}

/// `event: error`, whatever its data, and whatever stands before it.
fn is_named_error(event: &[u8]) -> bool {
    event
        .split(|b| matches!(b, b'\n' | b'\r'))
        .filter_map(|line| line.strip_prefix(b"event:"))
        .any(|name| name.trim_ascii_start().starts_with(b"error"))
}

/// At the end of a stream: an event whose data is not cut.
fn is_whole(tail: &[u8]) -> bool {
    event::read(tail).is_some_and(|(_, data)| {
        data == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(&data).is_ok()
    })
}

/// The counts, if it has good ones, and whether the event carries nothing else (`choices` is empty).
fn usage(event: &[u8]) -> Option<(Option<Usage>, bool)> {
    let (_, data) = event::read(event)?;
    let value: Value = serde_json::from_str(&data).ok()?;
    let usage = Usage::of_openai(value.get("usage")?, &value["timings"]);
    let extra = value["choices"].as_array().is_some_and(Vec::is_empty);
    Some((usage, extra))
}

/// Its `model`.
fn model(event: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Chunk {
        model: Option<String>,
    }
    let (_, data) = event::read(event)?;
    serde_json::from_str::<Chunk>(&data).ok()?.model
}

/// An event, or a whole answer, with `reasoning` spelt `reasoning_content`; every other byte stays.
pub(crate) fn respelled(event: &[u8]) -> Bytes {
    const WORD: &[u8] = b"\"reasoning\"";
    let is_key =
        |at: &usize| value_at(event, at + WORD.len()).is_some_and(|v| v.starts_with(b"\""));
    let mut out = BytesMut::with_capacity(event.len() + 8);
    let mut from = 0;
    for at in memmem::find_iter(event, WORD).filter(is_key) {
        let cut = at + WORD.len() - 1;
        out.extend_from_slice(&event[from..cut]);
        out.extend_from_slice(b"_content");
        from = cut;
    }
    out.extend_from_slice(&event[from..]);
    out.freeze()
}

#[cfg(test)]
mod tests;
