//! The books: accounts of requests that have ended, closed in batches by one task.
//!
//! An account ends before its answer's last bytes are handed to the socket, so what is written of
//! it would be in every client's way. Many at once also cost less than one by one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::yield_now, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    App,
    closing::{Ended, Moment},
};

/// How long accounts are gathered.
const GATHER: Duration = Duration::from_millis(10);

/// Accounts that are closed in a row: about 50 us.
const AT_ONCE: usize = 16;

/// Accounts that wait to be closed.
#[derive(Default)]
pub(crate) struct Books {
    ended: Mutex<Vec<Ended>>,
    /// Held while a batch is closed: who comes meanwhile waits until it is.
    closing: Mutex<()>,
    more: Notify,
}

// === impl Books ===

impl Books {
    pub(super) fn put(&self, ended: Ended) {
        let mut waiting = self.ended.lock();
        waiting.push(ended);
        if waiting.len() == 1 {
            self.more.notify_one();
        }
    }
}

// === impl App ===

impl App {
    /// Closes the accounts of all requests that have ended.
    pub(crate) fn settle(&self) {
        while self.close_some() {}
    }

    /// Closes at most [`AT_ONCE`]; gives whether there are more.
    fn close_some(&self) -> bool {
        let _closing = self.books.closing.lock();
        let (ended, more) = {
            let mut waiting = self.books.ended.lock();
            let some = waiting.len().min(AT_ONCE);
            let ended: Vec<_> = waiting.drain(..some).collect();
            (ended, !waiting.is_empty())
        };
        if ended.is_empty() {
            return false;
        }
        let now = Moment::now();
        // What breaks one account must not lose the others, nor end the accounting.
        let close = |ended: &Ended| {
            let closed = catch_unwind(AssertUnwindSafe(|| ended.close(self, now)));
            closed.unwrap_or_else(|_| {
                tracing::error!(id = %ended.exchange.id, "the account of a request is lost");
                None
            })
        };
        let samples: Vec<_> = ended.iter().filter_map(close).collect();
        self.router.learn(&samples);
        more
    }

    /// Keeps the books until it is stopped, and settles them once more then.
    pub(crate) async fn keep_books(self, stop: CancellationToken) {
        loop {
            let more = async {
                self.books.more.notified().await;
                sleep(GATHER).await;
            };
            let going = stop.run_until_cancelled(more).await.is_some();
            while self.close_some() {
                // Streams that are ready have their turn.
                yield_now().await;
            }
            if !going {
                return;
            }
        }
    }
}
