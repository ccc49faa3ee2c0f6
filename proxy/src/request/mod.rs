//! One request's record: filled in along the line, written to metrics and log exactly once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crucible_config::checked::Class;
use crucible_router::{client::ClientId, plan::Reason};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tracing::Span;

use crate::{
    dialect::ClientDialect,
    endpoint::Endpoint,
    error::{AbortCause, Kind},
    telemetry,
    usage::Usage,
};

/// Where a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its body is being read.
    #[default]
    Reading,
    /// Waiting for a permit.
    Queue,
    /// Sent; nothing came back yet.
    Prefill,
    /// Tokens come.
    Stream,
}

/// What is known at the end.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of a request, not states"
)]
pub(crate) struct RequestFacts {
    pub(crate) engine: Option<Arc<str>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) reason: Option<Reason>,
    pub(crate) stream: bool,
    /// Name of its key.
    pub(crate) client: Option<Arc<str>>,
    /// The Crucibles that it came through.
    pub(crate) hops: Arc<[Arc<str>]>,
    /// Who asks, with or without a key.
    pub(crate) asked_by: ClientId,
    /// The most that its answer may have.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) class: Class,
    /// Estimated.
    pub(crate) prompt_tokens: u64,
    /// Tokens of context kept for the answer.
    pub(crate) reserve: u64,
    pub(crate) phase: Phase,
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<Kind>,
    pub(crate) queued_at: Option<Instant>,
    pub(crate) granted_at: Option<Instant>,
    pub(crate) loaded: bool,
    /// Tokens that the granted resident has for one request.
    pub(crate) context: Option<u64>,
    /// What is configured for the model's context.
    pub(crate) configured_context: Option<u64>,
    /// What it was sent to.
    pub(crate) asked: Option<TargetInstance>,
    pub(crate) sent_at: Option<Instant>,
    pub(crate) first_token_at: Option<Instant>,
    /// The answer ended in tool calls.
    pub(crate) called_tools: bool,
    /// The engine's answer was whole.
    pub(crate) answered_at: Option<Instant>,
    /// The headers went out before the answer: who it comes from is settled.
    pub(crate) committed_at: Option<Instant>,
    /// Why another one answers than usual.
    pub(crate) note: Option<String>,
    /// What the plan said of the first token.
    pub(crate) predicted: Option<Duration>,
    pub(crate) prompt: PromptFacts,
    /// First to last content event.
    pub(crate) output_time: Option<Duration>,
    pub(crate) usage: Option<Usage>,
    pub(crate) defaults: Vec<&'static str>,
    /// Parameters that were left out.
    pub(crate) dropped: Vec<&'static str>,
    /// Why a stream did not reach its proper end.
    pub(crate) abort: Option<AbortCause>,
    pub(crate) stream_bytes: u64,
    pub(crate) stream_flushes: u64,
    /// The whole answer was handed to the connection.
    pub(crate) ended: bool,
}

/// The instance of a model that a request was sent to.
#[derive(Clone, Debug)]
pub(crate) struct TargetInstance {
    /// The name of the instance in its engine.
    pub(crate) instance: Arc<str>,
    /// Tokens of context of the whole instance, as it was known when the request was sent.
    pub(crate) whole_context: Option<u64>,
}

/// What is known of a prompt without reading it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PromptFacts {
    /// Tokens at 4 bytes each, where it is text only.
    pub(crate) estimate: Option<u64>,
    /// It may be partly in the engine's cache.
    pub(crate) later_turn: bool,
}

/// One request from accept to its last byte.
#[derive(Debug)]
pub(crate) struct ActiveRequest {
    pub(crate) id: Arc<str>,
    pub(crate) endpoint: Endpoint,
    /// The format in which the client asked and is answered.
    pub(crate) dialect: &'static dyn ClientDialect,
    pub(crate) started: Instant,
    /// Entered while the answer is made; the lines that are logged meanwhile name the request.
    pub(crate) span: Span,
    tokens: AtomicU32,
    record: Mutex<RequestFacts>,
}

/// The requests being answered, for `/crucible/state`.
#[derive(Debug, Default)]
pub(crate) struct ActiveRequests {
    next: AtomicU64,
    live: Mutex<BTreeMap<u64, Weak<ActiveRequest>>>,
    left: Notify,
}

/// Keeps a request in the list until it is dropped.
#[derive(Debug)]
pub(crate) struct ActiveRequestEntry {
    list: Arc<ActiveRequests>,
    number: u64,
}

// === impl Phase ===

impl Phase {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Queue => "queue",
            Self::Prefill => "prefill",
            Self::Stream => "stream",
        }
    }
}

// === impl RequestFacts ===

impl RequestFacts {
    /// Time in queue and load, or waiting for the engine: not our own.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        let queue = self
            .queued_at
            .map_or(Duration::ZERO, |from| self.granted_at.unwrap_or(now) - from);
        let engine = self.sent_at.map_or(Duration::ZERO, |from| now - from);
        queue + engine
    }
}

// === impl ActiveRequest ===

impl ActiveRequest {
    pub(crate) fn new(
        id: Arc<str>,
        endpoint: Endpoint,
        dialect: &'static dyn ClientDialect,
    ) -> Self {
        Self {
            span: telemetry::request_span(&id, endpoint),
            id,
            endpoint,
            dialect,
            started: Instant::now(),
            tokens: AtomicU32::new(0),
            record: Mutex::new(RequestFacts::default()),
        }
    }

    /// Changes the record; the closure must be short.
    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut RequestFacts) -> T) -> T {
        change(&mut self.record.lock())
    }

    pub(crate) fn record(&self) -> RequestFacts {
        self.record.lock().clone()
    }

    /// Gives the record away, at the end.
    pub(crate) fn close(&self) -> RequestFacts {
        std::mem::take(&mut *self.record.lock())
    }

    /// Headers are out.
    pub(crate) fn committed(&self) -> bool {
        self.record.lock().committed_at.is_some()
    }

    pub(crate) fn add_tokens(&self, n: u32) {
        self.tokens.fetch_add(n, Ordering::Relaxed);
    }

    /// Content events so far (about one token each).
    pub(crate) fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed)
    }
}

// === impl ActiveRequests ===

impl ActiveRequests {
    pub(crate) fn enter(self: &Arc<Self>, active: &Arc<ActiveRequest>) -> ActiveRequestEntry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.live.lock().insert(number, Arc::downgrade(active));
        ActiveRequestEntry {
            list: Arc::clone(self),
            number,
        }
    }

    /// Returns once nothing is in flight.
    pub(crate) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.live.lock().is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Oldest first.
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
