//! The loads, evictions and answers of the last 15 minutes, kept in memory for the live page.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crucible_documents::timeline::{AnsweredRequest, TimelineEntry};
use crucible_router::event::Event;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::sender::unix_ms;
use crate::{
    metrics::labels::{eviction_reason, load_outcome, load_trigger},
    request::ClosedRequest,
};

/// The time for which an entry is kept.
const AGE: Duration = Duration::from_secs(15 * 60);
/// The most entries that are kept; the oldest go first.
const MOST: usize = 2000;

/// The entries of the last minutes, and the number of the newest. A clone is one reference more.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    entries: Arc<Mutex<Entries>>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    /// The entries with the moment at which they were added; the last one has the number `newest`.
    kept: VecDeque<(Instant, Arc<TimelineEntry>)>,
    /// The number of entries that were ever added.
    newest: u64,
}

// === impl Timeline ===

impl Default for Timeline {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            newest: watch::channel(0).0,
        }
    }
}

impl Timeline {
    /// Adds a load or an eviction; other events of the router are no entries.
    pub(crate) fn happened(&self, event: &Event) {
        let now = unix_ms(SystemTime::now());
        match event {
            Event::Load {
                engine,
                model,
                outcome,
                trigger,
                took,
            } => self.add(TimelineEntry::Load {
                at_ms: now.saturating_sub(u64::try_from(took.as_millis()).unwrap_or(now)),
                took_s: took.as_secs_f64(),
                engine: Arc::clone(engine),
                model: Arc::clone(model),
                outcome: load_outcome(*outcome).into(),
                trigger: load_trigger(*trigger).into(),
            }),
            Event::Evicted {
                engine,
                model,
                reason,
            } => self.add(TimelineEntry::Eviction {
                at_ms: now,
                engine: Arc::clone(engine),
                model: Arc::clone(model),
                reason: eviction_reason(*reason).into(),
            }),
            _ => {}
        }
    }

    /// Adds a request that came as far as the queue.
    pub(crate) fn answered(&self, closed: &ClosedRequest<'_>) {
        let Some(queued) = closed.queued() else {
            return;
        };
        let request = closed.request;
        self.add(TimelineEntry::Answer(AnsweredRequest {
            at_ms: unix_ms(closed.ended.wall_at(request.started)),
            request_id: Arc::clone(&request.id),
            engine: Arc::clone(queued.engine),
            model: Arc::clone(queued.model),
            queue_s: closed.phases.queue.as_secs_f64(),
            load_s: closed.phases.load.as_secs_f64(),
            failed_s: closed.phases.failed.as_secs_f64(),
            first_token_s: closed.first_token.map(|time| time.as_secs_f64()),
            took_s: closed.took.as_secs_f64(),
            prompt_tokens: closed.prompt_tokens,
            cached_tokens: closed.cached().map(|(tokens, _)| tokens),
            cached_is_estimated: closed.cached().is_some_and(|(_, estimated)| estimated),
            output_tokens: closed.output_tokens,
            tokens_per_second: rate(closed.output_tokens, closed.facts.output_time),
            status: closed.status.as_u16(),
            outcome: closed.outcome().into(),
        }));
    }

    fn add(&self, entry: TimelineEntry) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        entries.forget_before(now);
        if entries.kept.len() == MOST {
            entries.kept.pop_front();
        }
        entries.kept.push_back((now, Arc::new(entry)));
        entries.newest += 1;
        // Who begins to read later looks at the entries first, for which it waits here.
        if self.newest.receiver_count() > 0 {
            self.newest.send_replace(entries.newest);
        }
    }

    /// The entries after the one with this number that are still kept, and the number of the newest.
    pub(crate) fn after(&self, number: u64) -> (Vec<Arc<TimelineEntry>>, u64) {
        let mut entries = self.entries.lock();
        entries.forget_before(Instant::now());
        let unseen = usize::try_from(entries.newest - number).unwrap_or(usize::MAX);
        let skipped = entries.kept.len().saturating_sub(unseen);
        let found = entries.kept.iter().skip(skipped);
        let found = found.map(|(_, entry)| Arc::clone(entry)).collect();
        (found, entries.newest)
    }

    /// Tells a reader when there is a new entry.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

// === impl Entries ===

impl Entries {
    fn forget_before(&mut self, now: Instant) {
        while let Some((at, _)) = self.kept.front()
            && now.duration_since(*at) > AGE
        {
            self.kept.pop_front();
        }
    }
}

/// The tokens after the first by the time since it; `None` for fewer than two tokens or no time.
fn rate(tokens: u64, time: Option<Duration>) -> Option<f64> {
    let seconds = time?.as_secs_f64();
    let after_first = u32::try_from(tokens.checked_sub(1)?).ok()?;
    (after_first > 0 && seconds > 0.0).then(|| f64::from(after_first) / seconds)
}

#[cfg(test)]
mod tests {
    use crucible_router::event::EvictionReason;

    use super::*;

    fn evicted(model: &str) -> Event {
        Event::Evicted {
            engine: "gpu".into(),
            model: model.into(),
            reason: EvictionReason::Ttl,
        }
    }

    fn models(entries: &[Arc<TimelineEntry>]) -> Vec<&str> {
        entries
            .iter()
            .filter_map(|entry| match &**entry {
                TimelineEntry::Eviction { model, .. } => Some(&**model),
                _ => None,
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_what_it_has_not_seen_and_what_is_old_goes() {
        let timeline = Timeline::default();
        timeline.happened(&evicted("a"));
        let (entries, seen) = timeline.after(0);
        assert_eq!(models(&entries), ["a"]);
        timeline.happened(&evicted("b"));
        let (entries, seen) = timeline.after(seen);
        assert_eq!((models(&entries), seen), (vec!["b"], 2));
        assert!(timeline.after(seen).0.is_empty());
        tokio::time::advance(AGE + Duration::from_secs(1)).await;
        timeline.happened(&evicted("c"));
        assert_eq!(models(&timeline.after(0).0), ["c"]);
    }

    #[test]
    fn the_oldest_goes_where_too_many_are_there() {
        let timeline = Timeline::default();
        for n in 0..MOST + 3 {
            timeline.happened(&evicted(&n.to_string()));
        }
        let (entries, seen) = timeline.after(0);
        assert_eq!(entries.len(), MOST);
        assert_eq!(models(&entries[..1]), ["3"]);
        assert_eq!(seen, MOST as u64 + 3);
    }

    #[test]
    fn a_rate_needs_two_tokens_and_some_time() {
        assert_eq!(rate(11, Some(Duration::from_secs(2))), Some(5.0));
        for (tokens, time) in [
            (1, Some(Duration::from_secs(1))),
            (5, None),
            (5, Some(Duration::ZERO)),
        ] {
            assert_eq!(rate(tokens, time), None);
        }
    }
}
