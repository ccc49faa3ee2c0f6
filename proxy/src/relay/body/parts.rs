//! The parts of a relayed answer, and the observer of its course.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    dialect::{ClientDialect, chat::EngineTranscoder},
    error::{Error, ErrorKind},
    relay::{body::Look, clocks::Budgets, prefill::Prefill},
    request::PromptReading,
    usage::{PromptProgress, Usage},
};

/// The end of a relayed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The answer ended properly.
    Complete,
    /// The answer ended with an error of this kind.
    Failed(ErrorKind),
    /// The client left before the end.
    ClientGone,
}

/// An observer of the course of one answer. It is dropped with the body.
pub(crate) trait Watch: Send {
    /// Notes that the first complete event of the engine came.
    fn began(&mut self) {}
    /// Takes the engine's report on the reading of the prompt, which came at `now`.
    fn prompt(&mut self, _progress: PromptProgress, _now: Instant) {}
    /// Returns the last report on the reading of the prompt, whoever made it. It is asked only when the
    /// time for the first token is over.
    fn reading(&self) -> Option<PromptReading> {
        None
    }
    /// Notes that `n` events with content came at `now`.
    fn content(&mut self, n: u32, now: Instant);
    /// Takes the token counts that the engine reported.
    fn usage(&mut self, usage: Usage);
    /// Notes that the answer ended properly and calls tools. It is called before the permit is
    /// released.
    fn called_tools(&mut self) {}
    /// Notes that a write of this many bytes went to the client. The last ones come after [`Watch::ended`]: what
    /// was read before the end is written after it.
    fn sent(&mut self, bytes: usize);
    /// Returns the error in the words that the client gets.
    fn worded(&self, error: Error) -> Error {
        error
    }
    /// Notes that the answer failed. It is called before [`Watch::ended`] of a failure, perhaps
    /// twice.
    fn failed(&mut self, _error: &Error) {}
    /// Notes that the answer ended, and how; called exactly once.
    fn ended(&mut self, end: End);
}

/// The parts of a relayed answer.
pub(crate) struct Parts<B> {
    /// The body of the engine's answer.
    pub(crate) upstream: B,
    /// The transcoder from the engine's format to that of the client.
    pub(crate) transcode: Box<dyn EngineTranscoder>,
    /// The client's format, which writes heartbeats and errors.
    pub(crate) dialect: &'static dyn ClientDialect,
    /// The most bytes that are joined into one write.
    pub(crate) buffer: usize,
    /// The times that the engine has for its answer.
    pub(crate) budgets: Budgets,
    /// The question to an engine whose silence may be a tool call; present exactly where
    /// `budgets.tool_call` is.
    pub(crate) look: Option<Look>,
    /// The moment at which the request went to the engine.
    pub(crate) sent_at: Instant,
    /// The observer of the answer.
    pub(crate) watch: Box<dyn Watch>,
    /// A guard that is dropped as soon as the engine's answer has ended.
    pub(crate) guard: Box<dyn Send>,
    /// The share of this request in the count of those that wait for the first token of the same
    /// instance.
    pub(crate) prefill: Prefill,
    /// The token that ends the answer with an error, when Crucible has to end.
    pub(crate) ending: CancellationToken,
}
