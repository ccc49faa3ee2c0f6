//! Where a conversation was answered last: 30 minutes, 4096 conversations.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Since the last answer.
pub const STICKY_FOR: Duration = Duration::from_mins(30);
/// Conversations remembered.
pub const STICKY_MAX: usize = 4096;

/// An engine and its name of a model.
pub type Place = (Arc<str>, Arc<str>);

/// The memory of `auto`.
#[derive(Debug, Default)]
pub struct StickyTable {
    places: HashMap<u64, (Place, Instant)>,
}

// === impl StickyTable ===

impl StickyTable {
    /// Where this conversation was answered.
    pub fn find(&self, conversation: u64, now: Instant) -> Option<Place> {
        let (place, at) = self.places.get(&conversation)?;
        (now.saturating_duration_since(*at) < STICKY_FOR).then(|| place.clone())
    }

    /// Remembers an answer; the oldest makes room.
    pub fn stick(&mut self, conversation: u64, place: Place, now: Instant) {
        if self.places.len() >= STICKY_MAX && !self.places.contains_key(&conversation) {
            let oldest = self.places.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.places.remove(&oldest);
            }
        }
        self.places.insert(conversation, (place, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_half_an_hour_and_stays_bounded() {
        let mut table = StickyTable::default();
        let start = Instant::now();
        let place: Place = ("a".into(), "m".into());
        for id in 0..=STICKY_MAX as u64 {
            table.stick(id, place.clone(), start + Duration::from_millis(id));
        }
        assert_eq!(table.places.len(), STICKY_MAX);
        assert_eq!(table.find(0, start), None);
        assert_eq!(table.find(9, start), Some(place));
        assert_eq!(
            table.find(9, start + STICKY_FOR + Duration::from_secs(1)),
            None
        );
    }
}
