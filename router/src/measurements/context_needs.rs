//! The context that a client's requests needed lately. An agent begins with a short request (for a
//! title), and a moment later it needs as much context as the last time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of configured contexts whose needs are kept: that of the last request.
const MOST: usize = 1;
/// A smaller need moves the expectation by one part of this many.
const DECAY: u64 = 4;
/// A need in tokens that nobody has; larger ones are ignored.
const LARGEST: u64 = 1 << 32;

/// The tokens of context that the next request is expected to need, by the context that was
/// configured for the model. A configuration that changed since wins, and one odd request is
/// forgotten within some ordinary ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ContextNeeds(BTreeMap<u64, u64>);

// === impl ContextNeeds ===

impl ContextNeeds {
    /// Learns what one request needed of a model with that configured context.
    pub(super) fn record(&mut self, need: u64, configured: u64) {
        if need == 0 || need > LARGEST {
            return;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&configured) {
            self.0.clear();
        }
        let mark = self.0.entry(configured).or_default();
        *mark = match mark.checked_sub(need) {
            Some(less) => *mark - less / DECAY,
            None => need,
        };
    }

    /// The tokens that are expected of the next request; 0 where nothing is known.
    pub(super) fn expected(&self, configured: u64) -> u64 {
        self.0.get(&configured).copied().unwrap_or(0)
    }

    /// The same without needs that nobody can have had, as a file may name them.
    pub(super) fn without_absurd(mut self) -> Self {
        self.0.retain(|_, need| *need <= LARGEST);
        while self.0.len() > MOST {
            self.0.pop_last();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_late_is_expected_and_an_odd_one_is_forgotten() {
        let mut needs = ContextNeeds::default();
        assert_eq!(needs.expected(4096), 0);
        for need in [1600, 9700, 1600] {
            needs.record(need, 4096);
        }
        assert_eq!(needs.expected(4096), 7675);
        needs.record(100_000, 4096);
        assert_eq!(needs.expected(4096), 100_000);
        for _ in 0..20 {
            needs.record(9700, 4096);
        }
        assert!((9700..10_100).contains(&needs.expected(4096)), "{needs:?}");
        for odd in [0, u64::MAX] {
            needs.record(odd, 4096);
        }
        assert!(needs.expected(4096) < 10_100);
    }

    #[test]
    fn what_is_configured_anew_wins_and_the_memory_is_bounded() {
        let mut needs = ContextNeeds::default();
        needs.record(9700, 4096);
        assert_eq!((needs.expected(4096), needs.expected(8192)), (9700, 0));
        for configured in 0..100 {
            needs.record(10, configured);
        }
        assert!(needs.0.len() <= MOST);
        let text = r#"{"4096": 9000, "8192": 18446744073709551615}"#;
        let read: ContextNeeds = serde_json::from_str(text).unwrap();
        let read = read.without_absurd();
        assert_eq!((read.expected(4096), read.expected(8192)), (9000, 0));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"4096":9000}"#);
    }
}
