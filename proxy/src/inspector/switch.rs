//! The inspector of an instance: its switch, its end, and the way of requests into it.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crucible_documents::{
    inspector::{InspectedDoc, InspectorDoc, InspectorStatusDoc},
    seconds,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    comparison,
    kept_request::{KeptAttempt, KeptEnd},
    kept_requests::{InspectorPeriod, KeptRequests, MOST_BYTES, MOST_REQUESTS, MOST_RUNNING},
    kept_text::{KeptText, MOST_BODY},
    redaction::KeptHead,
};

/// Keeps the last requests in memory while it is on. A clone is one reference more.
#[derive(Clone)]
pub(crate) struct Inspector(Arc<InspectorParts>);

struct InspectorParts {
    /// Whether requests are kept: the one thing that a request asks while it is off.
    is_on: AtomicBool,
    kept: Mutex<KeptRequests>,
    /// The number of the last change, for pages and for the task that compares.
    changed: watch::Sender<u64>,
}

/// The place of one request in the inspector, through which everything of it is kept. Once the inspector is off, or
/// the request had to make room, nothing happens any more.
#[derive(Clone, Debug)]
pub(crate) struct InspectedRequest {
    number: u64,
    inspector: Inspector,
}

/// The inspector's place in the record of a request, which is empty while the inspector is off.
#[derive(Debug, Default)]
pub(crate) struct InspectedPlace(OnceLock<InspectedRequest>);

/// A request for an engine, as it is about to be sent.
pub(crate) struct SentToEngine<'a> {
    /// The engine's name.
    pub(crate) engine: &'a Arc<str>,
    /// The engine's name of the model.
    pub(crate) model: &'a Arc<str>,
    /// The path on the engine.
    pub(crate) path: &'a str,
    /// The names of the values that were filled in.
    pub(crate) defaults: &'a [&'static str],
    /// The sentences on what was changed for this engine.
    pub(crate) notes: &'a [String],
    /// The body.
    pub(crate) body: &'a [u8],
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

// === impl Inspector ===

impl fmt::Debug for Inspector {
    /// Writes nothing of what is kept: whoever logs the record of a request logs this too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "on" } else { "off" })
    }
}

impl Default for Inspector {
    fn default() -> Self {
        Self(Arc::new(InspectorParts {
            is_on: AtomicBool::new(false),
            kept: Mutex::default(),
            changed: watch::channel(0).0,
        }))
    }
}

impl Inspector {
    /// Reports whether requests are kept now.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Keeps requests for this time from now on; where it is on, only its end moves.
    pub(crate) fn switch_on(&self, period: Duration) {
        let period = InspectorPeriod {
            ends: Instant::now() + period,
            ends_at_ms: unix_ms(SystemTime::now() + period),
        };
        self.change(|kept| kept.switch_on(period));
    }

    /// Switches off and drops everything that is kept.
    pub(crate) fn switch_off(&self) {
        self.change(KeptRequests::switch_off);
    }

    /// Changes what is kept, and tells those who watch.
    fn change<T>(&self, change: impl FnOnce(&mut KeptRequests) -> T) -> T {
        let mut kept = self.0.kept.lock();
        let changed = change(&mut kept);
        let is_on = kept.period().is_some();
        self.0.is_on.store(is_on, Ordering::Relaxed);
        let (_, _, number) = kept.counts();
        self.0.changed.send_if_modified(|last| {
            let is_new = *last != number;
            *last = number;
            is_new
        });
        changed
    }

    /// Begins to keep a request that was admitted.
    pub(crate) fn begin(
        &self,
        place: &InspectedPlace,
        id: &Arc<str>,
        client: String,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
    ) {
        let head = KeptHead::of(method, uri, headers);
        let at_ms = unix_ms(SystemTime::now());
        let number = self.change(|kept| kept.begin(Arc::clone(id), client.into(), head, at_ms));
        if let Some(number) = number {
            // A request begins once.
            let _ = place.0.set(InspectedRequest {
                number,
                inspector: self.clone(),
            });
        }
    }

    /// Returns the changes from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Returns what every page may know; `here` says whether this reader may read what is kept.
    pub(crate) fn status(&self, here: bool) -> InspectorStatusDoc {
        let kept = self.0.kept.lock();
        let (_, _, change) = kept.counts();
        InspectorStatusDoc {
            on: kept.period().is_some(),
            ends_at_ms: kept.period().map(|period| period.ends_at_ms),
            kept: kept.all().count(),
            change,
            here,
        }
    }

    /// Returns the state and the list.
    pub(crate) fn document(&self) -> InspectorDoc {
        let now = Instant::now();
        self.change(|kept| kept.end_if_due(now));
        let kept = self.0.kept.lock();
        let (session, dropped, _) = kept.counts();
        InspectorDoc {
            on: kept.period().is_some(),
            ends_at_ms: kept.period().map(|period| period.ends_at_ms),
            remaining_s: kept.remaining(now).map(seconds),
            session,
            most_requests: MOST_REQUESTS,
            most_running: MOST_RUNNING,
            most_bytes: MOST_BYTES,
            most_body_bytes: MOST_BODY,
            kept_bytes: kept.bytes(),
            dropped,
            requests: kept
                .all()
                .map(super::kept_request::KeptRequest::row)
                .collect(),
        }
    }

    /// Returns the bytes that all kept bodies take.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.0.kept.lock().bytes()
    }

    /// Returns a whole request by its number, with a command that asks the Crucible at `address`; `None` where it is
    /// not kept. It may take some time for large bodies.
    pub(crate) fn request(&self, number: u64, address: &str) -> Option<InspectedDoc> {
        let kept = self.0.kept.lock();
        let request = kept.get(number)?.clone();
        drop(kept);
        Some(request.document(address))
    }

    /// Compares turns as they end, and switches off when the time is over, until `stop`; then everything is dropped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut changes = self.subscribe();
        let watching = async {
            loop {
                self.compare_all().await;
                let ends = self.0.kept.lock().period().map(|period| period.ends);
                let due = async {
                    match ends {
                        Some(ends) => tokio::time::sleep_until(ends.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    seen = changes.changed() => {
                        if seen.is_err() {
                            return;
                        }
                    }
                    () = due => {
                        self.change(|kept| kept.end_if_due(Instant::now()));
                    }
                }
            }
        };
        stop.run_until_cancelled(watching).await;
        self.switch_off();
    }

    /// Compares each request that has ended with the turn before, one after the other beside the requests' threads.
    async fn compare_all(&self) {
        loop {
            let Some(turn) = self.0.kept.lock().uncompared() else {
                return;
            };
            let number = turn.request.number;
            let comparing = tokio::task::spawn_blocking(move || {
                comparison::compared(&turn.request, &turn.end, turn.before.as_ref())
            });
            let Ok(compared) = comparing.await else {
                return;
            };
            self.change(|kept| kept.compare(number, compared));
        }
    }
}

// === impl InspectedPlace ===

impl InspectedPlace {
    /// Returns the request's place in the inspector; `None` where it is not kept.
    pub(crate) fn get(&self) -> Option<&InspectedRequest> {
        self.0.get()
    }
}

// === impl InspectedRequest ===

impl InspectedRequest {
    fn update(&self, change: impl FnOnce(&mut super::kept_request::KeptRequest)) {
        // Nobody is told: a list shows what has ended.
        self.inspector.0.kept.lock().update(self.number, change);
    }

    /// Keeps the body that the client sent, without its content encoding.
    pub(crate) fn received(&self, body: &[u8]) {
        let body = Arc::new(KeptText::of(body));
        self.update(|request| request.received = Some(body));
    }

    /// Keeps what is about to be sent to an engine.
    pub(crate) fn sent(&self, sent: &SentToEngine<'_>) {
        let attempt = KeptAttempt {
            engine: Arc::clone(sent.engine),
            model: Arc::clone(sent.model),
            path: sent.path.to_owned(),
            defaults: sent
                .defaults
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            notes: sent.notes.to_vec(),
            error: None,
            body: Arc::new(KeptText::of(sent.body)),
            status: None,
            answer: Arc::default(),
            is_passed_on: false,
        };
        self.update(|request| request.add_attempt(attempt));
    }

    /// Keeps the error that ended the last attempt.
    pub(crate) fn failed(&self, error: String) {
        self.update(|request| {
            if let Some(attempt) = request.attempts.last_mut() {
                attempt.fail(error);
            }
        });
    }

    /// Keeps the status of the engine's answer to the last attempt.
    pub(super) fn engine_status(&self, status: StatusCode) {
        self.update(|request| {
            if let Some(attempt) = request.attempts.last_mut() {
                attempt.status = Some(status.as_u16());
            }
        });
    }

    /// Keeps a piece of the engine's answer to the last attempt.
    pub(super) fn engine_answered(&self, piece: &[u8]) {
        self.update(|request| {
            if let Some(attempt) = request.attempts.last_mut() {
                Arc::make_mut(&mut attempt.answer).push(piece);
            }
        });
    }

    /// Keeps a piece of the answer.
    pub(crate) fn answered(&self, piece: &[u8]) {
        self.update(|request| Arc::make_mut(&mut request.answer).push(piece));
    }

    /// Keeps the facts of the end.
    pub(crate) fn ended(&self, end: KeptEnd) {
        self.inspector.change(|kept| kept.end(self.number, end));
    }
}
