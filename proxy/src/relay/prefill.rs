//! The number of requests per instance that wait for their first token.
//!
//! While an instance reads the prompt of one request, its other streams stall (LM Studio 0.4 on
//! MLX), so their idle clocks pause for that time.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

type Name = (Arc<str>, Arc<str>);

/// The counts of all instances, by engine and instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefills(Arc<PrefillCounts>);

#[derive(Debug, Default)]
struct PrefillCounts {
    counts: Mutex<HashMap<Name, Arc<AtomicU32>, RandomState>>,
    began: Notify,
}

/// The share of one request in the count of its instance, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Prefill {
    count: Arc<AtomicU32>,
    reading: bool,
}

// === impl Prefills ===

impl Prefills {
    /// Counts a request that was sent to an instance, until its first token comes or the result is
    /// dropped.
    pub(crate) fn enter(&self, engine: &Arc<str>, instance: &Arc<str>) -> Prefill {
        self.0.began.notify_one();
        let count = Arc::clone(
            self.0
                .counts
                .lock()
                .entry((Arc::clone(engine), Arc::clone(instance)))
                .or_default(),
        );
        count.fetch_add(1, Ordering::Relaxed);
        Prefill {
            count,
            reading: true,
        }
    }
}

impl Prefills {
    /// Returns once a request was counted since the last call; one task waits for that.
    pub(crate) async fn began(&self) {
        self.0.began.notified().await;
    }
}

// === impl Prefill ===

impl Prefill {
    /// Takes the request out of the count because its first token came; does nothing the second
    /// time.
    pub(crate) fn leave(&mut self) {
        if std::mem::take(&mut self.reading) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether another request of the same instance waits for its first token.
    pub(crate) fn others(&self) -> bool {
        self.count.load(Ordering::Relaxed) > u32::from(self.reading)
    }
}

impl Drop for Prefill {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sees_the_others_of_its_instance_only() {
        let prefills = Prefills::default();
        let engine: Arc<str> = "lmstudio".into();
        let mut mine = prefills.enter(&engine, &"a".into());
        assert!(!mine.others());
        let other = prefills.enter(&engine, &"a".into());
        let elsewhere = prefills.enter(&engine, &"b".into());
        assert!(mine.others() && other.others() && !elsewhere.others());
        mine.leave();
        assert!(mine.others() && !other.others());
        drop(other);
        assert!(!mine.others());
    }
}
