//! The instance that is watched: its last state, its last minutes, and whether it still answers.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use crucible_documents::{
    StateDoc, VerifiedDoc,
    running::{EventsFailure, InstanceEvent},
    timeline::TimelineEntry,
};

use super::rates::TokenRates;

/// The time for which an entry of the timeline is kept, as by the instance itself.
const AGE: Duration = Duration::from_secs(15 * 60);

/// The most entries that are kept, as by the instance itself.
const MOST: usize = 2000;

/// A moment on both clocks: the one for ages, and the one of dates.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) instant: Instant,
    /// Milliseconds since 1970.
    pub(super) unix_ms: u64,
}

/// Everything that is known of the instance.
#[derive(Debug)]
pub(super) struct WatchedInstance {
    /// The URL at which it is asked, without a path.
    pub(super) url: String,
    /// The loss of the connection, and since when; `None` while it is there.
    pub(super) lost: Option<(EventsFailure, Instant)>,
    /// The last state, and when it came.
    pub(super) state: Option<(StateDoc, Instant)>,
    /// The loads, evictions and answers of the last minutes, the oldest first.
    pub(super) entries: VecDeque<TimelineEntry>,
    /// How fast the requests in flight are answered.
    pub(super) rates: TokenRates,
    /// The settings as they were found on the engines; `None` until they are.
    pub(super) settings: Option<VerifiedDoc>,
    /// When the inspector ends, in milliseconds since 1970; `None` while it is off.
    pub(super) inspector_ends_ms: Option<u64>,
    /// Whether the next timeline has all of the last minutes.
    begins: bool,
    /// The milliseconds by which its clock is ahead of this machine's, negative where it is behind.
    clock_ahead_ms: i64,
}

/// Something that the connection to the instance tells.
#[derive(Debug)]
pub(super) enum FeedEvent {
    /// The events of the instance begin, perhaps anew.
    Connected,
    /// One of them.
    Event(InstanceEvent),
    /// They ended, or did not begin.
    Lost(EventsFailure),
    /// The settings were looked at.
    Settings(Box<VerifiedDoc>),
}

// === impl ClockReading ===

impl ClockReading {
    /// Reads both clocks.
    pub(super) fn now() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = unix.map_or(0, |unix| unix.as_millis());
        Self {
            instant: Instant::now(),
            unix_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        }
    }
}

// === impl WatchedInstance ===

impl WatchedInstance {
    /// An instance of which nothing is known yet.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            lost: None,
            state: None,
            entries: VecDeque::new(),
            rates: TokenRates::default(),
            settings: None,
            inspector_ends_ms: None,
            begins: true,
            clock_ahead_ms: 0,
        }
    }

    /// A moment of this machine by the clock of the instance, which the times of its entries are read from.
    pub(super) fn on_its_clock(&self, now: ClockReading) -> ClockReading {
        ClockReading {
            unix_ms: now.unix_ms.saturating_add_signed(self.clock_ahead_ms),
            ..now
        }
    }

    /// Takes what the connection tells.
    pub(super) fn note(&mut self, event: FeedEvent, now: ClockReading) {
        match event {
            FeedEvent::Connected => {
                self.lost = None;
                self.begins = true;
            }
            FeedEvent::Event(InstanceEvent::State(state)) => {
                self.rates.note(&state.in_flight, now.instant);
                let its_clock = state.instance.as_ref().and_then(|one| one.now_ms);
                if let Some(ahead) = its_clock.map(|its| its.checked_signed_diff(now.unix_ms)) {
                    self.clock_ahead_ms = ahead.unwrap_or(0);
                }
                self.state = Some((*state, now.instant));
                self.forget(now);
            }
            FeedEvent::Event(InstanceEvent::Timeline(entries)) => {
                if std::mem::take(&mut self.begins) {
                    self.entries.clear();
                }
                self.entries.extend(entries);
                self.forget(now);
            }
            FeedEvent::Event(InstanceEvent::Inspector(status)) => {
                self.inspector_ends_ms = status.ends_at_ms.filter(|_| status.on);
            }
            FeedEvent::Lost(failure) => {
                let since = self.lost.map_or(now.instant, |(_, since)| since);
                self.lost = Some((failure, since));
            }
            FeedEvent::Settings(settings) => self.settings = Some(*settings),
        }
    }

    /// Drops the entries that are too many, and those that are too old once the state has told what time it is at
    /// the instance.
    fn forget(&mut self, now: ClockReading) {
        let surplus = self.entries.len().saturating_sub(MOST);
        self.entries.drain(..surplus);
        if self.state.is_none() {
            return;
        }
        let age = u64::try_from(AGE.as_millis()).unwrap_or(u64::MAX);
        let oldest = self.on_its_clock(now).unix_ms.saturating_sub(age);
        while self
            .entries
            .front()
            .is_some_and(|entry| begin_ms(entry) < oldest)
        {
            self.entries.pop_front();
        }
    }

    /// The seconds for which the instance runs, at a moment by its clock; they stand still once it is gone.
    pub(super) fn uptime(&self, now: ClockReading) -> Option<f64> {
        let instance = self.state.as_ref()?.0.instance.as_ref()?;
        let lost = self.lost.map_or(Duration::ZERO, |(_, since)| {
            now.instant.saturating_duration_since(since)
        });
        let until = Duration::from_millis(now.unix_ms).saturating_sub(lost);
        let up = until.saturating_sub(Duration::from_secs(instance.started_unix));
        Some(up.as_secs_f64())
    }

    /// The seconds since the state came; they stand still once the instance is gone.
    pub(super) fn state_age(&self, now: Instant) -> f64 {
        let until = self.lost.map_or(now, |(_, since)| since);
        let came = self.state.as_ref().map(|(_, came)| *came);
        came.map_or(0.0, |came| {
            until.saturating_duration_since(came).as_secs_f64()
        })
    }
}

/// The begin of an entry, in milliseconds since 1970.
fn begin_ms(entry: &TimelineEntry) -> u64 {
    match entry {
        TimelineEntry::Load { at_ms, .. } | TimelineEntry::Eviction { at_ms, .. } => *at_ms,
        TimelineEntry::Answer(answer) => answer.at_ms,
    }
}

#[cfg(test)]
mod tests {
    use crucible_documents::state::InstanceDoc;

    use super::*;

    fn eviction(at_ms: u64) -> TimelineEntry {
        TimelineEntry::Eviction {
            at_ms,
            engine: "gpu".into(),
            model: "m".into(),
            reason: "ttl".into(),
        }
    }

    fn timeline(entries: Vec<TimelineEntry>) -> FeedEvent {
        FeedEvent::Event(InstanceEvent::Timeline(entries))
    }

    fn state(now_ms: Option<u64>) -> FeedEvent {
        let instance = InstanceDoc {
            version: "0.1.0".to_owned(),
            started_unix: 0,
            now_ms,
        };
        let state = StateDoc {
            instance: Some(instance),
            ..StateDoc::default()
        };
        FeedEvent::Event(InstanceEvent::State(Box::new(state)))
    }

    #[test]
    fn entries_are_as_old_as_the_clock_of_the_instance_says() {
        let minute = 60_000;
        let its_now = 100 * minute;
        for now_ms in [40 * minute, 160 * minute] {
            let here = ClockReading {
                instant: Instant::now(),
                unix_ms: now_ms,
            };
            let mut watched = WatchedInstance::new("http://x".to_owned());
            watched.note(FeedEvent::Connected, here);
            let entries = [80, 95, 99].map(|minutes| eviction(minutes * minute));
            watched.note(timeline(entries.into()), here);
            watched.note(state(Some(its_now)), here);
            assert_eq!(watched.entries.len(), 2);
            assert_eq!(watched.on_its_clock(here).unix_ms, its_now);
        }
    }

    #[test]
    fn an_instance_that_is_gone_runs_no_longer() {
        let now = ClockReading {
            instant: Instant::now(),
            unix_ms: 90_000,
        };
        let later = ClockReading {
            instant: now.instant + Duration::from_secs(30),
            unix_ms: 120_000,
        };
        let mut watched = WatchedInstance::new("http://x".to_owned());
        assert_eq!(watched.uptime(now), None);
        watched.note(state(None), now);
        assert_eq!(
            (watched.uptime(now), watched.uptime(later)),
            (Some(90.0), Some(120.0))
        );
        watched.note(FeedEvent::Lost(EventsFailure::Gone), now);
        assert_eq!(watched.uptime(later), Some(90.0));
    }

    #[test]
    fn after_a_new_connection_the_last_minutes_are_not_doubled() {
        let now = ClockReading {
            instant: Instant::now(),
            unix_ms: 1_000_000,
        };
        let mut watched = WatchedInstance::new("http://x".to_owned());
        watched.note(FeedEvent::Connected, now);
        watched.note(timeline(vec![eviction(999_000)]), now);
        watched.note(timeline(vec![eviction(999_500)]), now);
        assert_eq!(watched.entries.len(), 2);
        watched.note(FeedEvent::Lost(EventsFailure::Gone), now);
        let later = ClockReading {
            instant: now.instant + Duration::from_secs(5),
            ..now
        };
        watched.note(FeedEvent::Lost(EventsFailure::Gone), later);
        assert_eq!(watched.lost, Some((EventsFailure::Gone, now.instant)));
        watched.note(FeedEvent::Connected, later);
        assert!(watched.lost.is_none());
        watched.note(timeline(vec![eviction(999_000), eviction(999_500)]), later);
        assert_eq!(watched.entries.len(), 2);
    }

    #[test]
    fn old_entries_and_those_beyond_the_most_go() {
        let at = |unix_ms| ClockReading {
            instant: Instant::now(),
            unix_ms,
        };
        let mut watched = WatchedInstance::new("http://x".to_owned());
        watched.note(state(None), at(0));
        watched.note(timeline((0..3000).map(eviction).collect()), at(3000));
        assert_eq!(watched.entries.len(), MOST);
        watched.note(timeline(vec![eviction(1_000_000)]), at(1_000_000));
        assert_eq!(watched.entries.len(), 1);
    }
}
