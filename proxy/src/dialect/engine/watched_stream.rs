//! A stream of events that passes as its engine wrote it, but for those events that a watch drops, replaces or
//! ends the stream by.
//!
//! Each event is whole when it is looked at. Neighbouring events that pass untouched go on as one slice
//! of the engine's own frame, so that watching costs no copy.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};

use crate::{
    dialect::chat::StreamProgress,
    error::{Error, ErrorKind, UpstreamError},
    sse::{
        framer::{EventFramer, FramedEvent},
        stream_detector::StreamDetector,
    },
};

/// Looks at the events of one stream.
pub(crate) trait EventWatch {
    /// Looks at a whole event and says what becomes of it.
    ///
    /// # Errors
    /// The stream has to end with this error.
    fn see(&mut self, event: &[u8], progress: &mut StreamProgress) -> Result<EventAction, Error>;

    /// Takes the events that were kept back until now, and that have to be sent before the one that was
    /// seen last.
    fn released(&mut self) -> Option<Bytes> {
        None
    }

    /// Reports whether the stream has reached its end, so that nothing may follow.
    fn is_over(&self) -> bool;
}

/// The decision about an event.
pub(crate) enum EventAction {
    Forward,
    Drop,
    /// These bytes take the place of the event.
    Replace(Bytes),
}

/// The events of one answer on their way through.
#[derive(Debug)]
pub(crate) struct WatchedStream<W> {
    /// The observer of the events.
    pub(crate) watch: W,
    detector: StreamDetector,
    framer: EventFramer,
    cap: usize,
    /// Whether what was sent for the last event ends with the CR to which its LF may come.
    takes_rest: bool,
}

// === impl WatchedStream ===

impl<W: EventWatch> WatchedStream<W> {
    /// Makes a stream whose largest event has `cap` bytes.
    pub(crate) fn new(watch: W, cap: usize) -> Self {
        Self {
            watch,
            detector: StreamDetector::new(),
            framer: EventFramer::new(cap),
            cap,
            takes_rest: false,
        }
    }

    /// Takes a frame as it was read. What is no stream of events is kept for [`end`](Self::end).
    pub(crate) fn push(
        &mut self,
        frame: Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<StreamProgress, Error> {
        match self.detector.pass(frame, self.cap) {
            Ok(Some(frame)) => self.events(&frame, out),
            Ok(None) => Ok(StreamProgress::default()),
            Err(_) => Err(oversize()),
        }
    }

    /// Takes a frame of a stream.
    pub(crate) fn events(
        &mut self,
        frame: &Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<StreamProgress, Error> {
        let Self {
            framer,
            watch,
            takes_rest,
            ..
        } = self;
        let mut progress = StreamProgress::default();
        let mut run: Option<Range<usize>> = None;
        let pushed = framer.push(frame, |event| {
            let (bytes, range) = match &event {
                FramedEvent::InFrame(range) => (&frame[range.clone()], Some(range.clone())),
                FramedEvent::Joined(bytes) => (&bytes[..], None),
                FramedEvent::Rest(range) => {
                    if *takes_rest {
                        run = Some(range.clone());
                    }
                    return Ok(());
                }
            };
            let action = watch.see(bytes, &mut progress);
            let released = watch.released();
            let sent = match &action {
                Ok(EventAction::Forward) => Some(bytes),
                Ok(EventAction::Replace(bytes)) => Some(&bytes[..]),
                Ok(EventAction::Drop) => released.as_deref(),
                Err(_) => None,
            };
            *takes_rest = sent.is_some_and(|sent| sent.ends_with(b"\r"));
            if let (Ok(EventAction::Forward), Some(range), None) = (&action, &range, &released) {
                let start = run.as_ref().map_or(range.start, |run| run.start);
                run = Some(start..range.end);
                return Ok(());
            }
            out.extend(run.take().map(|run| frame.slice(run)));
            out.extend(released);
            match action? {
                EventAction::Forward => out.push_back(match event {
                    FramedEvent::Joined(bytes) => bytes,
                    FramedEvent::InFrame(range) | FramedEvent::Rest(range) => frame.slice(range),
                }),
                EventAction::Drop => {}
                EventAction::Replace(bytes) => out.push_back(bytes),
            }
            Ok::<(), Error>(())
        });
        out.extend(run.take().map(|run| frame.slice(run)));
        if watch.is_over() {
            // What follows is not kept, however long it is.
            framer.tail();
            return Ok(progress);
        }
        pushed?.map(|()| progress).map_err(|_| oversize())
    }

    /// Takes the end of the body: events that were not yet known to be some are seen. Returns the body
    /// where it is no stream.
    pub(crate) fn end(
        &mut self,
        out: &mut VecDeque<Bytes>,
        progress: &mut StreamProgress,
    ) -> Result<Option<Bytes>, Error> {
        match self.detector.end() {
            Ok(whole) => Ok(whole),
            Err(begun) => {
                progress.join(self.events(&begun, out)?);
                Ok(None)
            }
        }
    }

    /// Takes the bytes behind the last event where they are an event without its blank line, as `is_whole`
    /// tells; they get one. Returns whether there were none.
    pub(crate) fn tail(
        &mut self,
        is_whole: impl FnOnce(&[u8]) -> bool,
        out: &mut VecDeque<Bytes>,
        progress: &mut StreamProgress,
    ) -> Result<bool, Error> {
        let tail = self.framer.tail();
        if is_whole(&tail) {
            let action = self.watch.see(&tail, progress);
            out.extend(self.watch.released());
            let event = match action? {
                EventAction::Forward => Some(tail.clone()),
                EventAction::Replace(bytes) => Some(bytes),
                EventAction::Drop => None,
            };
            if let Some(event) = event {
                let mut whole = BytesMut::from(event.trim_ascii_end());
                whole.extend_from_slice(b"\n\n");
                out.push_back(whole.freeze());
            }
        }
        Ok(tail.is_empty())
    }
}

fn oversize() -> Error {
    Error::new(
        ErrorKind::EngineError,
        "the engine sent an event larger than limits.event",
    )
    .upstream(UpstreamError::Oversize)
}
