//! What a relayed answer is made of, and who hears how it goes.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    dialect::{ClientDialect, chat::EngineTranscoder},
    error::{Error, Kind},
    relay::{body::Look, clocks::Budgets, prefill::Prefill},
    usage::Usage,
};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Properly.
    Complete,
    /// With an error.
    Failed(Kind),
    /// Its client left.
    ClientGone,
}

/// Hears how the answer goes; dropped with the body.
pub(crate) trait Watch: Send {
    /// The first complete event came.
    fn began(&mut self) {}
    /// `n` content events came.
    fn content(&mut self, n: u32, now: Instant);
    /// The engine told its counts.
    fn usage(&mut self, usage: Usage);
    /// The answer came to a proper end, and tools are called in it. Before the permit goes.
    fn called_tools(&mut self) {}
    /// A write of this size went to the client.
    fn sent(&mut self, bytes: usize);
    /// The same error in words for the client.
    fn worded(&self, error: Error) -> Error {
        error
    }
    /// What went wrong; called before [`Watch::ended`] of a failure, perhaps twice.
    fn failed(&mut self, _error: &Error) {}
    /// Called exactly once.
    fn ended(&mut self, end: End);
}

/// What a relay is made of.
pub(crate) struct Parts<B> {
    pub(crate) upstream: B,
    pub(crate) transcode: Box<dyn EngineTranscoder>,
    /// How heartbeats and errors are said to the client.
    pub(crate) dialect: &'static dyn ClientDialect,
    /// Bytes joined at most.
    pub(crate) buffer: usize,
    pub(crate) budgets: Budgets,
    /// For silences that may be a tool call; `None` where `budgets.tool_call` is.
    pub(crate) look: Option<Look>,
    pub(crate) sent_at: Instant,
    pub(crate) watch: Box<dyn Watch>,
    /// Dropped as soon as the engine's answer has ended.
    pub(crate) guard: Box<dyn Send>,
    pub(crate) prefill: Prefill,
    /// Ends the answer when Crucible must go.
    pub(crate) ending: CancellationToken,
}
