//! Which context a model is loaded with: configured, remembered or grown in steps.

use std::time::{Duration, Instant};

use crucible_config::checked::Fit;

use super::types::Arrival;

/// Between two growths of one model.
pub(super) const GROW_EVERY: Duration = Duration::from_mins(10);
/// The first step.
const FIRST_STEP: u64 = 8192;

/// The memory of one model on one engine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// The largest context it was ever loaded with.
    pub(super) context: u64,
    /// When a resident was last loaded anew to be larger, or came out smaller than ordered.
    pub(super) grown: Option<Instant>,
}

/// The context to load with: what is configured or remembered while `need` fits it, else the first
/// step (8192, 16384, ...) of at least 1.5 x `need`; never beyond `cap`.
pub(super) fn size(need: u64, base: u64, cap: u64, remembered: u64) -> u64 {
    let start = base.max(remembered.min(cap));
    if need <= start {
        return start;
    }
    let wanted = need.saturating_add(need / 2);
    let mut step = FIRST_STEP;
    while step < wanted && step < cap {
        step = step.saturating_mul(2);
    }
    step.min(cap)
}

/// The most that this request's model can ever be loaded with.
pub(super) fn limit(arrival: &Arrival) -> u64 {
    match arrival.fit {
        Fit::Reject => arrival.base,
        Fit::Grow => arrival.cap.max(arrival.base),
    }
}

// === impl Mark ===

impl Mark {
    /// Whether a resident may be loaded anew to be larger.
    pub(super) fn may_grow(&self, now: Instant) -> bool {
        self.grown
            .is_none_or(|at| now.saturating_duration_since(at) >= GROW_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_context_stays_while_the_need_fits_it() {
        assert_eq!(size(4096, 4096, 131_072, 0), 4096);
        assert_eq!(size(100, 10_000, 131_072, 0), 10_000);
    }

    #[test]
    fn growth_goes_in_steps_to_the_cap() {
        assert_eq!(size(4097, 4096, 131_072, 0), 8192);
        assert_eq!(size(6000, 4096, 131_072, 0), 16_384);
        assert_eq!(size(30_000, 4096, 32_768, 0), 32_768);
    }

    #[test]
    fn the_largest_so_far_is_remembered() {
        assert_eq!(size(100, 4096, 131_072, 16_384), 16_384);
        assert_eq!(size(100, 4096, 8192, 16_384), 8192);
    }
}
