//! The readings of an engine's slots during one answer, for engines whose answers do not say how much of
//! the prompt they found in their cache.

use crucible_router::engine::SlotReading;
use parking_lot::Mutex;

/// The most readings of one answer that are kept.
const MOST: usize = 64;

/// The slots of an engine as they were read while it gave one answer. A task in the background writes
/// them, and the reader of the answer takes its own by the number of tokens of its prompt.
#[derive(Debug, Default)]
pub struct SlotReadings(Mutex<Vec<SlotReading>>);

// === impl SlotReadings ===

impl SlotReadings {
    /// Adds what was read at one moment.
    pub(crate) fn add(&self, read: Vec<SlotReading>) {
        let mut readings = self.0.lock();
        let room = MOST.saturating_sub(readings.len());
        readings.extend(read.into_iter().take(room));
    }

    /// Returns the cached tokens of the slot that read a prompt of so many tokens; `None` where no slot
    /// did, or where two did that had different parts of it in their caches.
    pub(crate) fn cached(&self, prompt: u64) -> Option<u64> {
        let readings = self.0.lock();
        let own = |slot: &&SlotReading| slot.read.saturating_add(slot.cached) == prompt;
        let mut cached = readings.iter().filter(own).map(|slot| slot.cached);
        let first = cached.next()?;
        cached.all(|other| other == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_with_as_many_tokens_is_the_one_that_answered() {
        let readings = SlotReadings::default();
        assert_eq!(readings.cached(30), None);
        let slot = |read, cached| SlotReading { read, cached };
        readings.add(vec![slot(20, 10), slot(5, 900)]);
        assert_eq!(readings.cached(30), Some(10));
        assert_eq!(readings.cached(905), Some(900));
        assert_eq!(readings.cached(31), None);
        // The same slot, read again.
        readings.add(vec![slot(20, 10)]);
        assert_eq!(readings.cached(30), Some(10));
        readings.add(vec![slot(30, 0)]);
        assert_eq!(readings.cached(30), None);
        readings.add(vec![slot(1, 1); 1000]);
        assert_eq!(readings.0.lock().len(), MOST);
    }
}
