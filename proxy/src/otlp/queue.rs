//! The bounded queue of spans between the ledger and their export.

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;

use super::spans;
use crate::{metrics::Metrics, request::ClosedRequest};

/// The requests whose spans may wait for the task that exports them.
pub(super) const WAITING: usize = 1024;

/// The way to the task that exports spans; the default exports none. A clone is one reference more.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanQueue(Option<OpenQueue>);

#[derive(Clone, Debug)]
struct OpenQueue {
    spans: mpsc::Sender<Vec<SpanData>>,
    metrics: Metrics,
}

// === impl SpanQueue ===

impl SpanQueue {
    /// Opens a queue, and returns its end for the task that exports.
    pub(super) fn open(metrics: Metrics) -> (Self, mpsc::Receiver<Vec<SpanData>>) {
        let (spans, end) = mpsc::channel(WAITING);
        (Self(Some(OpenQueue { spans, metrics })), end)
    }

    /// Whether spans are exported.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Hands the spans of a request to the task that exports them; those that find no room are counted as
    /// lost.
    pub(crate) fn put(&self, closed: &ClosedRequest<'_>) {
        let Some(open) = &self.0 else { return };
        let Some(trace) = closed.request.trace.as_ref().filter(|t| t.is_sampled()) else {
            return;
        };
        let Err(error) = open.spans.try_send(spans::of(closed, trace)) else {
            return;
        };
        let (mpsc::error::TrySendError::Full(lost) | mpsc::error::TrySendError::Closed(lost)) =
            error;
        open.metrics.spans_dropped(lost.len());
    }
}
