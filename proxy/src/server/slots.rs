//! The places of `limits.connections`: who has one, and who gives his up for a newcomer.
//!
//! Where all are taken, the connection that has been idle for longest goes; where none is idle, the
//! one that has been sending the head of its request for longest, once that is too long. Else a few
//! more are taken that may only ask how Crucible is, and are closed after one answer. So a newcomer
//! always gets an answer, and whoever watches over Crucible is never shut out.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::phase::Phase;

/// Connections beyond the bound.
const BEYOND: usize = 32;
/// One of these that has asked nothing by now makes room for the next.
const BEYOND_SILENT: Duration = Duration::from_millis(250);
/// One of these that has not taken its answer by now does.
const BEYOND_SLOW: Duration = Duration::from_secs(5);
/// Where nobody is idle, one that has begun a head and has not sent it whole by now makes room.
const HEAD_SLOW: Duration = Duration::from_millis(250);
/// Between two log lines about places that are all taken.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Called for each idle connection that is closed for a newcomer.
pub type OnEvict = Arc<dyn Fn() + Send + Sync>;

/// The connections of listeners that share a bound.
pub struct Places {
    most: usize,
    on_evict: OnEvict,
    began: Instant,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Of the bound; who was sent away has none.
    taken: usize,
    /// Beyond it.
    beyond: usize,
    next: u64,
    /// In the order of their coming.
    seats: BTreeMap<u64, Seat>,
    news: News,
}

struct Seat {
    came: Instant,
    phase: Arc<Phase>,
    holds: Holds,
}

/// What the end of a connection gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Place,
    Beyond,
    Nothing,
}

/// What is to be told.
#[derive(Default)]
struct News {
    evicted: u64,
    beyond: u64,
    told: Option<Instant>,
}

/// A connection's place; dropping it gives it back.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    phase: Arc<Phase>,
}

// === impl Places ===

impl Places {
    /// As many as that, shared by all listeners that are given it.
    pub fn new(most: usize, on_evict: OnEvict) -> Arc<Self> {
        Arc::new(Self {
            most,
            on_evict,
            began: Instant::now(),
            held: Mutex::default(),
        })
    }

    /// Whether an answer is on its way that its client has not taken whole.
    pub fn are_writing(&self) -> bool {
        let held = self.held.lock();
        held.seats.values().any(|seat| seat.phase.is_stalled())
    }

    /// A place for a newcomer; `None`: in some milliseconds.
    pub(super) fn admit(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let mut held = self.held.lock();
        let before = held.news.evicted;
        let holds = held.room(self.most, now)?;
        let evicted = held.news.evicted > before;
        let phase = Arc::new(Phase::new(self.began, holds == Holds::Beyond));
        let id = held.next;
        held.next += 1;
        let seat = Seat {
            came: now,
            phase: Arc::clone(&phase),
            holds,
        };
        held.seats.insert(id, seat);
        let news = held.news.due(now);
        drop(held);
        if evicted {
            (self.on_evict)();
        }
        if let Some((evicted, beyond)) = news {
            tracing::warn!(
                idle_closed = evicted,
                refused = beyond,
                "all {} places of limits.connections are taken: a newcomer gets that of the \
                 connection that has been idle (or sending its headers) for longest, or 503 where \
                 there is none",
                self.most
            );
        }
        Some(Place {
            places: Arc::clone(self),
            id,
            phase,
        })
    }
}

// === impl Held ===

impl Held {
    fn room(&mut self, most: usize, now: Instant) -> Option<Holds> {
        if self.taken < most {
            self.taken += 1;
            return Some(Holds::Place);
        }
        let seats = self.seats.values_mut();
        let idle = seats
            .filter(|seat| seat.holds == Holds::Place)
            .filter_map(|seat| Some((seat.phase.idle_since()?, seat)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, seat)) = idle {
            seat.send_away();
            self.news.evicted += 1;
            return Some(Holds::Place);
        }
        let seats = self.seats.values_mut();
        let slow = seats
            .filter(|seat| seat.holds == Holds::Place)
            .filter_map(|seat| Some((seat.phase.speaks_since()?, seat)))
            .min_by_key(|(since, _)| *since)
            .filter(|(since, _)| now.saturating_duration_since(*since) >= HEAD_SLOW);
        if let Some((_, seat)) = slow {
            seat.send_away();
            self.news.evicted += 1;
            return Some(Holds::Place);
        }
        if self.beyond < BEYOND {
            self.beyond += 1;
        } else {
            let slow = |seat: &&mut Seat| {
                let patience = if seat.phase.is_busy() {
                    BEYOND_SLOW
                } else {
                    BEYOND_SILENT
                };
                seat.holds == Holds::Beyond && now.duration_since(seat.came) >= patience
            };
            self.seats.values_mut().find(slow)?.send_away();
        }
        self.news.beyond += 1;
        Some(Holds::Beyond)
    }

    fn leave(&mut self, id: u64) {
        match self.seats.remove(&id).map(|seat| seat.holds) {
            Some(Holds::Place) => self.taken -= 1,
            Some(Holds::Beyond) => self.beyond -= 1,
            Some(Holds::Nothing) | None => {}
        }
    }
}

// === impl Seat ===

impl Seat {
    /// The newcomer has what it held.
    fn send_away(&mut self) {
        self.holds = Holds::Nothing;
        self.phase.send_away();
    }
}

// === impl News ===

impl News {
    /// What came together since the last time, once that was long enough ago.
    fn due(&mut self, now: Instant) -> Option<(u64, u64)> {
        let any = self.evicted + self.beyond > 0;
        let recent = |at: Instant| now.duration_since(at) < TELL_EVERY;
        if !any || self.told.is_some_and(recent) {
            return None;
        }
        self.told = Some(now);
        Some((
            std::mem::take(&mut self.evicted),
            std::mem::take(&mut self.beyond),
        ))
    }
}

// === impl Place ===

impl Place {
    /// What the connection does.
    pub(super) fn phase(&self) -> &Arc<Phase> {
        &self.phase
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held.lock().leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn places(most: usize) -> (Arc<Places>, Arc<AtomicU64>) {
        let evicted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&evicted);
        let on_evict = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (Places::new(most, on_evict), evicted)
    }

    #[test]
    fn the_oldest_idle_one_makes_room_and_a_busy_one_never() {
        let (places, evicted) = places(3);
        let now = Instant::now();
        let [first, second, third] = [(); 3].map(|()| places.admit(now).unwrap());
        second.phase().speak();
        third.phase().speak();
        let busy = Phase::begin(third.phase());
        let fourth = places.admit(now).unwrap();
        assert!(first.phase().is_sent_away() && !fourth.phase().is_beyond());
        assert!(!second.phase().is_sent_away() && !third.phase().is_sent_away());
        fourth.phase().speak();
        // Nobody is idle.
        assert!(places.admit(now).unwrap().phase().is_beyond());
        drop(busy);
        let sixth = places.admit(now).unwrap();
        assert!(third.phase().is_sent_away() && !sixth.phase().is_beyond());
        assert_eq!(evicted.load(Ordering::Relaxed), 2);
        // Who was sent away has no place to give back.
        sixth.phase().speak();
        drop((first, third));
        assert!(places.admit(now).unwrap().phase().is_beyond());
        drop(second);
        assert!(!places.admit(now).unwrap().phase().is_beyond());
    }

    #[test]
    fn where_none_is_idle_a_head_that_does_not_become_whole_makes_room() {
        let (places, evicted) = places(2);
        let now = Instant::now();
        let [first, second] = [(); 2].map(|()| places.admit(now).unwrap());
        first.phase().speak();
        second.phase().speak();
        let busy = Phase::begin(first.phase());
        assert!(places.admit(now).unwrap().phase().is_beyond());
        let later = Instant::now() + HEAD_SLOW;
        assert!(!places.admit(later).unwrap().phase().is_beyond());
        assert!(second.phase().is_sent_away() && second.phase().may_leave());
        assert!(!first.phase().is_sent_away());
        assert_eq!(evicted.load(Ordering::Relaxed), 1);
        drop(busy);
    }

    #[test]
    fn beyond_the_bound_the_silent_make_room_after_a_while() {
        let (places, _) = places(0);
        let now = Instant::now();
        let held: Vec<_> = (0..BEYOND).map(|_| places.admit(now).unwrap()).collect();
        let busy = Phase::begin(held[0].phase());
        assert!(places.admit(now).is_none());
        let later = now + BEYOND_SILENT;
        let _next = places.admit(later).unwrap();
        assert!(!held[0].phase().is_sent_away() && held[1].phase().is_sent_away());
        let much_later = now + BEYOND_SLOW;
        assert!(places.admit(much_later).is_some() && held[0].phase().is_sent_away());
        drop(busy);
    }

    #[test]
    fn it_is_told_at_most_once_a_second_and_in_sum() {
        let now = Instant::now();
        let mut news = News::default();
        assert_eq!(news.due(now), None);
        news.evicted = 1;
        assert_eq!(news.due(now), Some((1, 0)));
        (news.evicted, news.beyond) = (5, 2);
        assert_eq!(news.due(now + TELL_EVERY / 2), None);
        assert_eq!(news.due(now + TELL_EVERY), Some((5, 2)));
    }
}
