//! Guards: a gauge counts a request or a connection as long as its guard lives.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus::{Gauge, local::LocalHistogram};

/// The start times of all requests in flight, by which the oldest of an engine is found.
#[derive(Debug, Default)]
pub(super) struct Starts {
    inner: Mutex<Ordered>,
}

/// Ids grow with time, so that the first entry of an engine is its oldest.
#[derive(Debug, Default)]
struct Ordered {
    last: u64,
    running: BTreeMap<u64, (Arc<str>, Instant)>,
}

/// Counts one request as in flight at its engine, until it is dropped.
#[must_use = "dropping it ends the count"]
#[derive(Debug)]
pub struct InFlightGuard {
    gauge: Gauge,
    starts: Arc<Starts>,
    id: u64,
}

/// Counts one client connection as open, until it is dropped.
#[must_use = "dropping it ends the count"]
#[derive(Debug)]
pub struct ConnectionGuard {
    gauge: Gauge,
}

/// Times the content events of one stream. The gaps are kept in the clock and published when it is
/// dropped, so that an event costs no shared counter.
#[derive(Debug)]
pub struct StreamClock {
    gaps: LocalHistogram,
    first: Option<Instant>,
    last: Option<Instant>,
    events: u64,
}

/// The shortest time between the first and the last event of a stream by which its tokens have a rate.
const SHORTEST_SPAN: Duration = Duration::from_millis(50);

// === impl Starts ===

impl Starts {
    fn add(&self, engine: &str, now: Instant) -> u64 {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let id = inner.last;
        inner.running.insert(id, (engine.into(), now));
        id
    }

    fn remove(&self, id: u64) {
        let mut inner = self.inner.lock();
        inner.running.remove(&id);
    }

    /// The age of the engine's oldest request in flight, zero if it has none.
    pub(super) fn oldest(&self, engine: &str, now: Instant) -> Duration {
        let inner = self.inner.lock();
        inner
            .running
            .values()
            .find(|(name, _)| &**name == engine)
            .map_or(Duration::ZERO, |(_, start)| {
                now.saturating_duration_since(*start)
            })
    }
}

// === impl InFlightGuard ===

impl InFlightGuard {
    /// Counts one more request in `gauge`, and notes that it began on `engine` at `now`, until the
    /// guard is dropped.
    pub(super) fn new(gauge: Gauge, starts: Arc<Starts>, engine: &str, now: Instant) -> Self {
        gauge.inc();
        let id = starts.add(engine, now);
        Self { gauge, starts, id }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.gauge.dec();
        self.starts.remove(self.id);
    }
}

// === impl ConnectionGuard ===

impl ConnectionGuard {
    /// Counts one more open connection in `gauge`, until the guard is dropped.
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self { gauge }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

// === impl StreamClock ===

impl StreamClock {
    /// Starts a clock that has seen no event yet; `gaps` takes the times between content events in
    /// seconds.
    pub(super) fn new(gaps: LocalHistogram) -> Self {
        Self {
            gaps,
            first: None,
            last: None,
            events: 0,
        }
    }

    /// Notes a content event at `now`. The wait for the first one is no gap.
    pub fn content(&mut self, now: Instant) {
        if let Some(last) = self.last {
            self.gaps
                .observe(now.saturating_duration_since(last).as_secs_f64());
        }
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.events += 1;
    }

    /// The time of the first content event.
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// The time from the first content event to the last; `None` with fewer than two, and where they came at
    /// once: an engine that holds a tool call back until it is whole has not generated it in that time.
    pub fn span(&self) -> Option<Duration> {
        if self.events < 2 {
            return None;
        }
        let span = self.last?.saturating_duration_since(self.first?);
        (span >= SHORTEST_SPAN).then_some(span)
    }

    /// The number of content events so far.
    pub fn events(&self) -> u64 {
        self.events
    }
}

impl Drop for StreamClock {
    fn drop(&mut self) {
        self.gaps.flush();
    }
}
