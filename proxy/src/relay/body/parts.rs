//! The parts of a relayed answer, and the observer that hears how it goes.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    dialect::{ClientDialect, chat::EngineTranscoder},
    error::{Error, ErrorKind},
    relay::{body::Look, clocks::Budgets, prefill::Prefill},
    usage::Usage,
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

/// Hears how an answer goes; it is dropped with the body.
pub(crate) trait Watch: Send {
    /// The first complete event of the engine came.
    fn began(&mut self) {}
    /// `n` content events came.
    fn content(&mut self, n: u32, now: Instant);
    /// The engine told its counts.
    fn usage(&mut self, usage: Usage);
    /// The answer came to a proper end, and tools are called in it. It is called before the permit
    /// is released.
    fn called_tools(&mut self) {}
    /// A write of this size went to the client.
    fn sent(&mut self, bytes: usize);
    /// The error in the words that the client gets.
    fn worded(&self, error: Error) -> Error {
        error
    }
    /// The answer failed; called before [`Watch::ended`] of a failure, perhaps twice.
    fn failed(&mut self, _error: &Error) {}
    /// The answer ended; called exactly once.
    fn ended(&mut self, end: End);
}

/// The parts of a relayed answer.
pub(crate) struct Parts<B> {
    /// The body of the engine's answer.
    pub(crate) upstream: B,
    /// The transcoder from the engine's format to that of the client.
    pub(crate) transcode: Box<dyn EngineTranscoder>,
    /// How heartbeats and errors are said to the client.
    pub(crate) dialect: &'static dyn ClientDialect,
    /// The most bytes that are joined into one write.
    pub(crate) buffer: usize,
    /// The times that the engine has for its answer.
    pub(crate) budgets: Budgets,
    /// The look at an engine whose silence may be a tool call; there exactly where
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
    /// Cancelled when Crucible must end; the answer ends with an error then.
    pub(crate) ending: CancellationToken,
}
