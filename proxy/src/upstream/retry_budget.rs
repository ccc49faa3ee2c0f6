//! The bound on how much of an engine's work may be requests that are sent a second time.

use std::sync::atomic::{AtomicU32, Ordering};

/// The requests that pay for one that is sent again: at most a fifth is, beyond what is there at first.
const PER_RETRY: u32 = 5;

/// The most requests that may be sent again in a row: about as many connections as may have been idle
/// when an engine was restarted.
pub(super) const MOST: u32 = 10;

/// A token bucket: every request adds a fifth of a token up to the bound, and one that is sent again takes
/// a whole one. It begins full.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// The tokens in fifths.
    fifths: AtomicU32,
}

// === impl RetryBudget ===

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            fifths: AtomicU32::new(MOST * PER_RETRY),
        }
    }
}

impl RetryBudget {
    /// Counts a request that is sent for the first time.
    pub(super) fn add(&self) {
        // Full is the common case, and costs no write.
        if self.fifths.load(Ordering::Relaxed) < MOST * PER_RETRY {
            let more = |fifths: u32| Some((fifths + 1).min(MOST * PER_RETRY));
            let _ = self
                .fifths
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Takes what one request costs that is sent again; `false` where there is not enough.
    pub(super) fn take(&self) -> bool {
        let less = |fifths: u32| fifths.checked_sub(PER_RETRY);
        self.fifths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// The requests that may be sent again now, in whole ones.
    pub(super) fn remaining(&self) -> u32 {
        self.fifths.load(Ordering::Relaxed) / PER_RETRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_may_be_sent_again_after_the_first_ten() {
        let budget = RetryBudget::default();
        let again = (0..1000).filter(|_| {
            budget.add();
            budget.take()
        });
        let again = u32::try_from(again.count()).unwrap();
        assert!((209..=211).contains(&again), "{again}");
        assert_eq!(budget.remaining(), 0);
        for _ in 0..1000 {
            budget.add();
        }
        assert_eq!(budget.remaining(), MOST);
    }
}
