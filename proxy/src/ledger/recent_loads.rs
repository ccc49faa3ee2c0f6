//! The last load of each engine, so that a wait can be told apart into its queue and its load.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crucible_router::event::{Event, EventObserver, LoadOutcome};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The begin and the end of the last load that ended well, by engine. An engine has at most one load at a
/// time.
#[derive(Debug, Default)]
pub(crate) struct RecentLoads(Mutex<HashMap<Arc<str>, (Instant, Instant)>>);

// === impl RecentLoads ===

impl RecentLoads {
    /// Returns the last load of an engine that had ended by this moment.
    pub(crate) fn last_of(&self, engine: &str, by: Instant) -> Option<(Instant, Instant)> {
        let loads = self.0.lock();
        loads.get(engine).copied().filter(|(_, ended)| *ended <= by)
    }

    fn add(&self, engine: &Arc<str>, took: Duration, now: Instant) {
        let began = now.checked_sub(took).unwrap_or(now);
        self.0.lock().insert(Arc::clone(engine), (began, now));
    }
}

impl EventObserver for RecentLoads {
    fn observe(&self, event: &Event) {
        if let Event::Load {
            engine,
            outcome: LoadOutcome::Ok,
            took,
            ..
        } = event
        {
            self.add(engine, *took, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_load_before_a_grant_is_the_one_that_was_waited_for() {
        let loads = RecentLoads::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(loads.last_of("e", now), None);
        loads.add(&"e".into(), second, now + second);
        assert_eq!(loads.last_of("e", now), None);
        let by = now + second;
        assert_eq!(loads.last_of("e", by), Some((now, by)));
        assert_eq!(loads.last_of("other", by), None);
    }
}
