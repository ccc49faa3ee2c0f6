//! The slots of `limits.connections`: which connection has one, and which gives its slot to a newcomer.
//!
//! Where all slots are taken, the connection that has been idle for longest is evicted; where none is
//! idle, the one that has been sending the head of its request for longest, once that takes too long. Else
//! a few more are accepted over the limit, which may only ask for health and metrics and are closed after
//! one answer. So every newcomer gets an answer, and whoever monitors Crucible is never shut out.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::state::ConnectionState;

/// The most connections that are accepted over the limit.
const MOST_OVER_LIMIT: usize = 32;
/// A connection over the limit that has asked nothing after this time is evicted for the next one.
const OVER_LIMIT_SILENT: Duration = Duration::from_millis(250);
/// A connection over the limit that has not taken its answer after this time is evicted for the next one.
const OVER_LIMIT_SLOW: Duration = Duration::from_secs(5);
/// The time for which a head may be on its way before its connection is evicted, where no
/// connection is idle.
const HEAD_SLOW: Duration = Duration::from_millis(250);
/// The time between two log lines about slots that are all taken.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Called for each connection that is evicted for a newcomer.
pub type OnEvict = Arc<dyn Fn() + Send + Sync>;

/// The connections of all listeners that share one bound.
pub struct ConnectionSlots {
    most: usize,
    on_evict: OnEvict,
    began: Instant,
    table: Mutex<SlotTable>,
}

#[derive(Default)]
struct SlotTable {
    /// Slots that are taken; an evicted connection has none.
    taken: usize,
    /// Connections over the limit that were not evicted.
    over_limit: usize,
    next: u64,
    /// The open connections by id, in the order of their coming.
    connections: BTreeMap<u64, AdmittedConnection>,
    report: EvictionReport,
}

struct AdmittedConnection {
    came: Instant,
    state: Arc<ConnectionState>,
    kind: SlotKind,
}

/// The slot that a connection has, and that its end gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotKind {
    /// One of `limits.connections`.
    Regular,
    /// One of those over the limit.
    OverLimit,
    /// None any more: a newcomer has it.
    Released,
}

/// Counts for the next log line about slots that are all taken.
#[derive(Default)]
struct EvictionReport {
    evicted: u64,
    over_limit: u64,
    reported: Option<Instant>,
}

/// The slot of one connection; dropping it gives the slot back.
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
    state: Arc<ConnectionState>,
}

// === impl ConnectionSlots ===

impl ConnectionSlots {
    /// `most` slots, shared by all listeners that are given them.
    pub fn new(most: usize, on_evict: OnEvict) -> Arc<Self> {
        Arc::new(Self {
            most,
            on_evict,
            began: Instant::now(),
            table: Mutex::default(),
        })
    }

    /// Whether there is an answer that its client has not taken whole.
    pub fn are_writing(&self) -> bool {
        let table = self.table.lock();
        table
            .connections
            .values()
            .any(|connection| connection.state.is_stalled())
    }

    /// Accepts a newcomer, perhaps by evicting another connection. `None` asks to try again some
    /// milliseconds later.
    pub(super) fn admit(self: &Arc<Self>, now: Instant) -> Option<ConnectionSlot> {
        let mut table = self.table.lock();
        let before = table.report.evicted;
        let kind = table.room(self.most, now)?;
        let evicted = table.report.evicted > before;
        let state = Arc::new(ConnectionState::new(
            self.began,
            kind == SlotKind::OverLimit,
        ));
        let id = table.next;
        table.next += 1;
        let connection = AdmittedConnection {
            came: now,
            state: Arc::clone(&state),
            kind,
        };
        table.connections.insert(id, connection);
        let report = table.report.due(now);
        drop(table);
        if evicted {
            (self.on_evict)();
        }
        if let Some((evicted, over_limit)) = report {
            tracing::warn!(
                idle_closed = evicted,
                refused = over_limit,
                "all {} places of limits.connections are taken: a newcomer gets that of the \
                 connection that has been idle (or sending its headers) for longest, or 503 where \
                 there is none",
                self.most
            );
        }
        Some(ConnectionSlot {
            slots: Arc::clone(self),
            id,
            state,
        })
    }
}

// === impl SlotTable ===

impl SlotTable {
    /// Finds a slot for a newcomer, perhaps by evicting the connection that had it.
    fn room(&mut self, most: usize, now: Instant) -> Option<SlotKind> {
        if self.taken < most {
            self.taken += 1;
            return Some(SlotKind::Regular);
        }
        let connections = self.connections.values_mut();
        let idle = connections
            .filter(|connection| connection.kind == SlotKind::Regular)
            .filter_map(|connection| Some((connection.state.idle_since()?, connection)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, connection)) = idle {
            connection.evict();
            self.report.evicted += 1;
            return Some(SlotKind::Regular);
        }
        let connections = self.connections.values_mut();
        let slow = connections
            .filter(|connection| connection.kind == SlotKind::Regular)
            .filter_map(|connection| Some((connection.state.head_since()?, connection)))
            .min_by_key(|(since, _)| *since)
            .filter(|(since, _)| now.saturating_duration_since(*since) >= HEAD_SLOW);
        if let Some((_, connection)) = slow {
            connection.evict();
            self.report.evicted += 1;
            return Some(SlotKind::Regular);
        }
        if self.over_limit < MOST_OVER_LIMIT {
            self.over_limit += 1;
        } else {
            let slow = |connection: &&mut AdmittedConnection| {
                let patience = if connection.state.is_busy() {
                    OVER_LIMIT_SLOW
                } else {
                    OVER_LIMIT_SILENT
                };
                connection.kind == SlotKind::OverLimit
                    && now.duration_since(connection.came) >= patience
            };
            self.connections.values_mut().find(slow)?.evict();
        }
        self.report.over_limit += 1;
        Some(SlotKind::OverLimit)
    }

    /// Gives back the slot of a connection that has ended.
    fn leave(&mut self, id: u64) {
        match self
            .connections
            .remove(&id)
            .map(|connection| connection.kind)
        {
            Some(SlotKind::Regular) => self.taken -= 1,
            Some(SlotKind::OverLimit) => self.over_limit -= 1,
            Some(SlotKind::Released) | None => {}
        }
    }
}

// === impl AdmittedConnection ===

impl AdmittedConnection {
    /// Asks the connection to close; a newcomer has its slot from now on.
    fn evict(&mut self) {
        self.kind = SlotKind::Released;
        self.state.evict();
    }
}

// === impl EvictionReport ===

impl EvictionReport {
    /// The counts since the last report (evicted, accepted over the limit), once that was long enough ago.
    fn due(&mut self, now: Instant) -> Option<(u64, u64)> {
        let any = self.evicted + self.over_limit > 0;
        let recent = |at: Instant| now.duration_since(at) < REPORT_EVERY;
        if !any || self.reported.is_some_and(recent) {
            return None;
        }
        self.reported = Some(now);
        Some((
            std::mem::take(&mut self.evicted),
            std::mem::take(&mut self.over_limit),
        ))
    }
}

// === impl ConnectionSlot ===

impl ConnectionSlot {
    /// The state of the connection.
    pub(super) fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.table.lock().leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn slots(most: usize) -> (Arc<ConnectionSlots>, Arc<AtomicU64>) {
        let evicted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&evicted);
        let on_evict = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (ConnectionSlots::new(most, on_evict), evicted)
    }

    #[test]
    fn the_oldest_idle_one_makes_room_and_a_busy_one_never() {
        let (slots, evicted) = slots(3);
        let now = Instant::now();
        let [first, second, third] = [(); 3].map(|()| slots.admit(now).unwrap());
        second.state().begin_head();
        third.state().begin_head();
        let busy = ConnectionState::begin(third.state());
        let fourth = slots.admit(now).unwrap();
        assert!(first.state().is_evicted() && !fourth.state().is_over_limit());
        assert!(!second.state().is_evicted() && !third.state().is_evicted());
        fourth.state().begin_head();
        // No connection is idle.
        assert!(slots.admit(now).unwrap().state().is_over_limit());
        drop(busy);
        let sixth = slots.admit(now).unwrap();
        assert!(third.state().is_evicted() && !sixth.state().is_over_limit());
        assert_eq!(evicted.load(Ordering::Relaxed), 2);
        // An evicted connection has no slot to give back.
        sixth.state().begin_head();
        drop((first, third));
        assert!(slots.admit(now).unwrap().state().is_over_limit());
        drop(second);
        assert!(!slots.admit(now).unwrap().state().is_over_limit());
    }

    #[test]
    fn where_none_is_idle_a_head_that_does_not_become_whole_makes_room() {
        let (slots, evicted) = slots(2);
        let now = Instant::now();
        let [first, second] = [(); 2].map(|()| slots.admit(now).unwrap());
        first.state().begin_head();
        second.state().begin_head();
        let busy = ConnectionState::begin(first.state());
        assert!(slots.admit(now).unwrap().state().is_over_limit());
        let later = Instant::now() + HEAD_SLOW;
        assert!(!slots.admit(later).unwrap().state().is_over_limit());
        assert!(second.state().is_evicted() && second.state().may_close());
        assert!(!first.state().is_evicted());
        assert_eq!(evicted.load(Ordering::Relaxed), 1);
        drop(busy);
    }

    #[test]
    fn over_the_limit_the_silent_make_room_after_a_while() {
        let (slots, _) = slots(0);
        let now = Instant::now();
        let held: Vec<_> = (0..MOST_OVER_LIMIT)
            .map(|_| slots.admit(now).unwrap())
            .collect();
        let busy = ConnectionState::begin(held[0].state());
        assert!(slots.admit(now).is_none());
        let later = now + OVER_LIMIT_SILENT;
        let _next = slots.admit(later).unwrap();
        assert!(!held[0].state().is_evicted() && held[1].state().is_evicted());
        let much_later = now + OVER_LIMIT_SLOW;
        assert!(slots.admit(much_later).is_some() && held[0].state().is_evicted());
        drop(busy);
    }

    #[test]
    fn evictions_are_reported_at_most_once_a_second_and_in_sum() {
        let now = Instant::now();
        let mut report = EvictionReport::default();
        assert_eq!(report.due(now), None);
        report.evicted = 1;
        assert_eq!(report.due(now), Some((1, 0)));
        (report.evicted, report.over_limit) = (5, 2);
        assert_eq!(report.due(now + REPORT_EVERY / 2), None);
        assert_eq!(report.due(now + REPORT_EVERY), Some((5, 2)));
    }
}
