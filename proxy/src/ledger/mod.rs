//! The ledger: requests that have ended, counted and logged in batches by one task.
//!
//! A request ends before its answer's last bytes are handed to the socket, so writing its metrics and
//! its log line at that moment would delay every client. Many at once also cost less than one by one.

mod closing;
mod ended_request;
mod recent_loads;
mod recent_prompts;
mod reuse;
mod sample;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crucible_router::handle::RouterHandle;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::yield_now, time::sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    ended_request::EndedRequest, recent_loads::RecentLoads, recent_prompts::RecentPrompts,
};
use crate::{
    events::{EventLogSender, Timeline},
    metrics::Metrics,
    otlp::SpanQueue,
    prefix::tracer::PrefixTracer,
    request::Moment,
};

/// The time for which ended requests are gathered before a batch is closed.
const GATHER: Duration = Duration::from_millis(10);

/// Requests that are closed in a row, which takes about 50 us.
const AT_ONCE: usize = 16;

/// The owner of every request that has ended and is not counted yet.
pub(crate) struct Ledger {
    router: RouterHandle,
    metrics: Metrics,
    sinks: LedgerSinks,
    recent: RecentPrompts,
    prefixes: Mutex<PrefixTracer>,
    ended: Mutex<Vec<EndedRequest>>,
    /// Locked while a batch is closed, so that a caller of [`Ledger::settle`] waits for its end.
    closing: Mutex<()>,
    more: Notify,
}

/// What the ledger writes to beside the metrics and the log on stderr, and the loads that it knows of.
#[derive(Default)]
pub(crate) struct LedgerSinks {
    /// The event log.
    pub(crate) events: EventLogSender,
    /// The way of spans to a collector.
    pub(crate) spans: SpanQueue,
    /// The last load of each engine.
    pub(crate) loads: Arc<RecentLoads>,
    /// The last minutes, for the live page.
    pub(crate) timeline: Timeline,
}

// === impl Ledger ===

impl Ledger {
    /// An empty ledger that writes to these metrics and sinks and teaches this router's predictor.
    pub(crate) fn new(router: RouterHandle, metrics: Metrics, sinks: LedgerSinks) -> Self {
        Self {
            router,
            metrics,
            sinks,
            recent: RecentPrompts::default(),
            prefixes: Mutex::default(),
            ended: Mutex::default(),
            closing: Mutex::default(),
            more: Notify::new(),
        }
    }

    /// Hands a request that has ended to the task that writes its metrics, event, log line and span, within some
    /// milliseconds.
    pub(crate) fn put(&self, ended: EndedRequest) {
        let mut waiting = self.ended.lock();
        waiting.push(ended);
        if waiting.len() == 1 {
            self.more.notify_one();
        }
    }

    /// Whether spans of requests are exported.
    pub(crate) fn exports_spans(&self) -> bool {
        self.sinks.spans.is_open()
    }

    /// The last load of each engine.
    pub(crate) fn loads(&self) -> &RecentLoads {
        &self.sinks.loads
    }

    /// The last prompts of each model, and how much of them its engine had cached.
    pub(crate) fn recent(&self) -> &RecentPrompts {
        &self.recent
    }

    /// The loads, evictions and answers of the last minutes.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.sinks.timeline
    }

    /// The last prompts of conversations, by which it is told where a turn diverges from the one before.
    pub(crate) fn prefixes(&self) -> &Mutex<PrefixTracer> {
        &self.prefixes
    }

    /// Closes every request that has ended before this call.
    pub(crate) fn settle(&self) {
        while self.close_batch() {}
    }

    /// Closes requests as they end until `stop` is cancelled, and all that are left then.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let more = async {
                self.more.notified().await;
                sleep(GATHER).await;
            };
            let going = stop.run_until_cancelled(more).await.is_some();
            while self.close_batch() {
                // Streams that are ready have their turn.
                yield_now().await;
            }
            if !going {
                return;
            }
        }
    }

    /// Closes at most [`AT_ONCE`] requests and tells whether there are more.
    fn close_batch(&self) -> bool {
        let _closing = self.closing.lock();
        let (ended, more) = {
            let mut waiting = self.ended.lock();
            let some = waiting.len().min(AT_ONCE);
            let ended: Vec<_> = waiting.drain(..some).collect();
            (ended, !waiting.is_empty())
        };
        if ended.is_empty() {
            return false;
        }
        let now = Moment::now();
        // A fault in closing one request must not lose the others, nor end this task.
        let close = |ended: &EndedRequest| {
            let closed = catch_unwind(AssertUnwindSafe(|| ended.close(self, now)));
            closed.unwrap_or_else(|_| {
                tracing::error!(id = %ended.request.id, "the account of a request is lost");
                None
            })
        };
        let samples: Vec<_> = ended.iter().filter_map(close).collect();
        self.router.learn(&samples);
        more
    }
}
