//! The contract between a stream of an engine and the relay.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Error;

/// Token counts as the engine reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    /// Generated tokens, thinking included.
    pub completion: u64,
    /// Of the prompt's, found in the cache.
    pub cached: Option<u64>,
    /// Of the completion's, thinking.
    pub reasoning: Option<u64>,
}

/// What one push moved forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Complete events of the engine seen in this push (comments are none).
    pub events: u32,
    /// Of these, events with content, reasoning or a tool call.
    pub content: u32,
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

    /// The engine's body ended. An error says that it was cut (no proper end) or empty.
    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<Progress, Error>;
}
