//! The contract between a stream of an engine and the relay.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{error::Error, usage::Usage};

/// What one push moved forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Complete events of the engine seen in this push (comments are none).
    pub events: u32,
    /// Of these, events with content, reasoning or a tool call.
    pub content: u32,
    /// Tools were called.
    pub calls: bool,
    /// Counts, once the engine told them.
    pub usage: Option<Usage>,
    /// The stream reached its proper end (`finish_reason` or `[DONE]`; `done: true`).
    pub complete: bool,
    /// It is complete as it stands, but the engine may send more: the counts, or the rest of
    /// another choice, come between `finish_reason` and `[DONE]`.
    pub open: bool,
}

/// Turns the frames of an engine's stream into the client's, whole events only.
///
/// Frames may be split anywhere; the output must not depend on where (property-tested).
pub trait Transcode: Send {
    /// Takes one frame as read; appends what is to be sent. An error ends the stream: what was
    /// appended before it is still sent, then the error in-band.
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<Progress, Error>;

    /// The model that the engine's first event names as the one that answers, where that is looked for.
    fn answerer(&self) -> Option<&str> {
        None
    }

    /// The engine's body ended. An error says that it was cut (no proper end) or empty.
    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<Progress, Error>;
}

// === impl Progress ===

impl Progress {
    /// Adds what a later push moved.
    pub(super) fn join(&mut self, later: Self) {
        self.events += later.events;
        self.content += later.content;
        self.usage = later.usage.or(self.usage);
        self.calls |= later.calls;
        self.complete = later.complete;
        self.open = later.open;
    }
}
