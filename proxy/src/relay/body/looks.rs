//! The questions to an engine that is silent and may be writing a tool call.

use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

use crate::{error::Error, relay::clocks::Missed};

/// A question to the engine whether it is at work on this answer. The error is the one that ends
/// the answer.
pub(crate) type Look = Box<dyn Fn() -> BoxFuture<'static, Result<(), Error>> + Send>;

/// The questions during one answer, of which one is under way at a time.
pub(super) struct Looks {
    look: Option<Look>,
    under_way: Option<BoxFuture<'static, Result<(), Error>>>,
}

// === impl Looks ===

impl Looks {
    /// Starts without a question under way. Where `look` is `None`, each look finds that the engine
    /// is silent for too long.
    pub(super) fn new(look: Option<Look>) -> Self {
        Self {
            look,
            under_way: None,
        }
    }

    /// Polls the question that is under way, or begins one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(look) = &self.look else {
            return Poll::Ready(Err(Missed::Idle.into()));
        };
        let looking = self.under_way.get_or_insert_with(look);
        let found = ready!(looking.as_mut().poll(cx));
        self.under_way = None;
        Poll::Ready(found)
    }

    /// Drops the question that is under way, since its result does not matter any more.
    pub(super) fn forget(&mut self) {
        self.under_way = None;
    }
}
