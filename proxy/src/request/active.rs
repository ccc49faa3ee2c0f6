//! The requests that are being answered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tracing::Span;

use super::facts::RequestFacts;
use crate::{
    dialect::ClientDialect,
    endpoint::Endpoint,
    inspector::InspectedPlace,
    telemetry::{
        self,
        trace_context::{TraceContext, TraceHeaders},
    },
};

/// One request from its acceptance to its last byte, shared by all who work on it.
#[derive(Debug)]
pub(crate) struct ActiveRequest {
    /// The request id of header, log and events.
    pub(crate) id: Arc<str>,
    /// The kind of endpoint that the request came to.
    pub(crate) endpoint: Endpoint,
    /// The format in which the client asked and is answered.
    pub(crate) dialect: &'static dyn ClientDialect,
    /// The moment of acceptance.
    pub(crate) started: Instant,
    /// The span of the request, entered while its answer is made; the lines that are logged meanwhile
    /// name the request.
    pub(crate) span: Span,
    /// The trace that it belongs to; `None` where the client named none and none are exported.
    pub(crate) trace: Option<Box<TraceContext>>,
    /// The place of the request in the inspector, which is empty while that is off.
    pub(crate) inspected: InspectedPlace,
    tokens: AtomicU32,
    facts: Mutex<RequestFacts>,
}

/// The list of all active requests, which `/crucible/state` shows and the drain waits for.
#[derive(Debug, Default)]
pub(crate) struct ActiveRequests {
    next: AtomicU64,
    live: Mutex<BTreeMap<u64, Weak<ActiveRequest>>>,
    left: Notify,
}

/// The entry of a request in [`ActiveRequests`]; dropping it takes the request out.
#[derive(Debug)]
pub(crate) struct ActiveRequestEntry {
    list: Arc<ActiveRequests>,
    number: u64,
}

// === impl ActiveRequest ===

impl ActiveRequest {
    /// A request that is accepted now.
    pub(crate) fn new(
        id: Arc<str>,
        endpoint: Endpoint,
        dialect: &'static dyn ClientDialect,
    ) -> Self {
        Self {
            span: telemetry::request_span(&id, endpoint),
            trace: None,
            id,
            endpoint,
            dialect,
            started: Instant::now(),
            inspected: InspectedPlace::default(),
            tokens: AtomicU32::new(0),
            facts: Mutex::new(RequestFacts::default()),
        }
    }

    /// Whether a span of the request is exported.
    pub(crate) fn has_own_span(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.own.is_some())
    }

    /// Returns the headers that carry its trace to an engine.
    pub(crate) fn trace_headers(&self) -> Option<TraceHeaders> {
        self.trace.as_ref()?.headers()
    }

    /// Reads or changes the facts under their lock; the closure must be short.
    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut RequestFacts) -> T) -> T {
        change(&mut self.facts.lock())
    }

    /// Begins an attempt: the tokens of one before it are none of this one's.
    pub(crate) fn begin_attempt(&self) {
        let now = Instant::now();
        self.note(|facts| facts.begin_attempt(now));
        self.tokens.store(0, Ordering::Relaxed);
    }

    /// A copy of the facts as they are now.
    pub(crate) fn facts(&self) -> RequestFacts {
        self.facts.lock().clone()
    }

    /// Takes the facts, at the end of the request.
    pub(crate) fn close(&self) -> RequestFacts {
        std::mem::take(&mut *self.facts.lock())
    }

    /// Whether the headers went out before the answer.
    pub(crate) fn committed(&self) -> bool {
        self.facts.lock().committed_at.is_some()
    }

    /// Counts content events of the answer.
    pub(crate) fn add_tokens(&self, n: u32) {
        self.tokens.fetch_add(n, Ordering::Relaxed);
    }

    /// The content events so far, of which each is about one token.
    pub(crate) fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed)
    }
}

// === impl ActiveRequests ===

impl ActiveRequests {
    /// Puts a request into the list until the entry is dropped.
    pub(crate) fn enter(self: &Arc<Self>, active: &Arc<ActiveRequest>) -> ActiveRequestEntry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.live.lock().insert(number, Arc::downgrade(active));
        ActiveRequestEntry {
            list: Arc::clone(self),
            number,
        }
    }

    /// Returns once no request is active.
    pub(crate) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.live.lock().is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Whether more than one request is active.
    pub(crate) fn are_several(&self) -> bool {
        self.live.lock().len() > 1
    }

    /// All active requests, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<ActiveRequest>> {
        let live = self.live.lock();
        live.values().filter_map(Weak::upgrade).collect()
    }
}

// === impl ActiveRequestEntry ===

impl Drop for ActiveRequestEntry {
    fn drop(&mut self) {
        self.list.live.lock().remove(&self.number);
        self.list.left.notify_waiters();
    }
}
