//! How much context a client's requests needed lately: an agent begins with a short request (a title)
//! and needs the same room as last time a moment later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Configured contexts whose needs are kept: that of the last request.
const MOST: usize = 1;
/// A smaller need takes this part of the way down to it.
const DECAY: u64 = 4;
/// More than this nobody needs.
const LARGEST: u64 = 1 << 32;

/// Tokens, by the context that was configured for the model then: a configuration that has changed
/// since wins. One odd request is forgotten within some ordinary ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Needs(BTreeMap<u64, u64>);

// === impl Needs ===

impl Needs {
    /// Takes what one request needed of a model with that configured context.
    pub(super) fn take(&mut self, need: u64, configured: u64) {
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

    /// What is expected of the next one; 0: nothing is known.
    pub(super) fn of(&self, configured: u64) -> u64 {
        self.0.get(&configured).copied().unwrap_or(0)
    }

    /// Without what nobody can have needed.
    pub(super) fn sound(mut self) -> Self {
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
        let mut needs = Needs::default();
        assert_eq!(needs.of(4096), 0);
        for need in [1600, 9700, 1600] {
            needs.take(need, 4096);
        }
        assert_eq!(needs.of(4096), 7675);
        needs.take(100_000, 4096);
        assert_eq!(needs.of(4096), 100_000);
        for _ in 0..20 {
            needs.take(9700, 4096);
        }
        assert!((9700..10_100).contains(&needs.of(4096)), "{needs:?}");
        for odd in [0, u64::MAX] {
            needs.take(odd, 4096);
        }
        assert!(needs.of(4096) < 10_100);
    }

    #[test]
    fn what_is_configured_anew_wins_and_the_memory_is_bounded() {
        let mut needs = Needs::default();
        needs.take(9700, 4096);
        assert_eq!((needs.of(4096), needs.of(8192)), (9700, 0));
        for configured in 0..100 {
            needs.take(10, configured);
        }
        assert!(needs.0.len() <= MOST);
        let text = r#"{"4096": 9000, "8192": 18446744073709551615}"#;
        let read: Needs = serde_json::from_str(text).unwrap();
        let read = read.sound();
        assert_eq!((read.of(4096), read.of(8192)), (9000, 0));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"4096":9000}"#);
    }
}
