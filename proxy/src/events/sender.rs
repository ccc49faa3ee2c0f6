//! The end of the event log that requests and the router write to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crucible_documents::event_log::{LoadEvent, LoggedEvent, RequestEvent};
use crucible_router::event::Event;
use tokio::sync::mpsc;

use crate::{
    metrics::labels::{load_outcome, load_trigger},
    request::ClosedRequest,
};

/// Lines that may wait for the disk.
pub(super) const WAITING: usize = 8192;

/// The sender of the event log: one JSON line for each request that ended and each load or unload.
///
/// Lines wait in a bounded queue for the task that writes the file in `state_dir`, so that nothing waits
/// for the disk; one that finds the queue full is dropped and counted. Without an event log
/// (`log.events = false`) nothing is sent. A clone is one reference more.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLogSender(Option<Open>);

#[derive(Clone, Debug)]
struct Open {
    lines: mpsc::Sender<LoggedEvent>,
    dropped: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// === impl EventLogSender ===

impl EventLogSender {
    /// A log and its end for the task that writes it.
    pub(super) fn open() -> (Self, mpsc::Receiver<LoggedEvent>, Arc<AtomicU64>) {
        let (lines, end) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let open = Open {
            lines,
            dropped: Arc::clone(&dropped),
            requests: Arc::default(),
        };
        (Self(Some(open)), end, dropped)
    }

    /// Whether no log is kept.
    pub(super) const fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// The number of requests that were logged so far.
    pub(super) fn requests(&self) -> u64 {
        let requests = self.0.as_ref().map(|open| &open.requests);
        requests.map_or(0, |requests| requests.load(Ordering::Relaxed))
    }

    /// Hands a line to the task that writes, or counts it as lost where too many wait.
    pub(super) fn put(&self, line: impl FnOnce() -> LoggedEvent) {
        let Some(open) = &self.0 else { return };
        if open.lines.try_send(line()).is_err() {
            open.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logs a request that came as far as the queue.
    pub(crate) fn request(&self, closed: &ClosedRequest<'_>) {
        let Some(queued) = closed.queued() else {
            return;
        };
        if let Some(open) = &self.0 {
            open.requests.fetch_add(1, Ordering::Relaxed);
        }
        self.put(|| {
            let facts = &closed.facts;
            let cached = closed.cached();
            LoggedEvent::Request(RequestEvent {
                at_ms: unix_ms(closed.ended.wall_at(queued.since)),
                engine: Arc::clone(queued.engine),
                model: Arc::clone(queued.model),
                client: facts.key.clone(),
                program: facts.program.clone(),
                class: facts.class,
                prompt_tokens: closed.prompt_tokens,
                cached_tokens: cached.map(|(tokens, _)| tokens),
                cached_estimated: cached.is_some_and(|(_, is_estimated)| is_estimated),
                output_tokens: closed.output_tokens,
                wait_ms: ms(queued.wait),
                loaded: facts.loaded,
                held_ms: queued.held.map(ms),
                first_token_ms: facts.first_token_at.map(|at| ms(at - queued.since)),
                status: closed.status.as_u16(),
                outcome: closed.outcome().into(),
                called_tools: facts.called_tools,
                facts: None,
            })
        });
    }

    /// Logs the end of a load; other events have no line.
    pub(super) fn happened(&self, event: &Event) {
        let Event::Load {
            engine,
            model,
            outcome,
            trigger,
            took,
        } = event
        else {
            return;
        };
        self.put(|| {
            LoggedEvent::Load(LoadEvent {
                at_ms: unix_ms(SystemTime::now()).saturating_sub(ms(*took)),
                engine: Arc::clone(engine),
                model: Arc::clone(model),
                took_ms: ms(*took),
                outcome: load_outcome(*outcome).into(),
                trigger: load_trigger(*trigger).into(),
            })
        });
    }
}
