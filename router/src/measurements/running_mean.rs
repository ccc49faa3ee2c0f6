//! A running mean that a single odd value does not move far.

use serde::{Deserialize, Serialize};

/// The number of values from which on a mean replaces a prior.
const ENOUGH: u32 = 3;
/// The newest value weighs at least one part of this many.
const WINDOW: u32 = 8;
/// A rate that differs from the mean by more than this factor counts as if it differed by that
/// factor.
pub(super) const SPREAD: f64 = 4.0;

/// A running mean: geometric for rates and sizes, arithmetic for times that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMean {
    /// The mean. Meaningless while there are no samples.
    pub mean: f64,
    /// The number of values that went into it.
    pub samples: u32,
}

// === impl RunningMean ===

impl RunningMean {
    /// Adds a rate or a size. An odd value moves the mean little.
    pub(crate) fn add_rate(&mut self, value: f64) {
        self.add(value, |this, weight| {
            let bounded = if this.samples < ENOUGH {
                value
            } else {
                value.clamp(this.mean / SPREAD, this.mean * SPREAD)
            };
            this.mean * (bounded / this.mean).powf(weight)
        });
    }

    /// Adds a time that is one of several in a row: whoever waits, waits for their sum, long ones
    /// included.
    pub(crate) fn add_time(&mut self, value: f64) {
        self.add(value, |this, weight| {
            this.mean + (value - this.mean) * weight
        });
    }

    /// Adds a value, if it is finite and positive; `mean` computes the new mean from the weight of
    /// the value.
    fn add(&mut self, value: f64, mean: impl FnOnce(&Self, f64) -> f64) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        if !self.is_valid() {
            *self = Self {
                mean: value,
                samples: 1,
            };
            return;
        }
        let weight = 1.0 / f64::from((self.samples + 1).min(WINDOW));
        self.mean = mean(self, weight);
        self.samples = self.samples.saturating_add(1);
    }

    /// The mean and the number of its values, if these are enough to replace a prior (3).
    pub fn if_enough(&self) -> Option<(f64, u32)> {
        self.if_at_least(ENOUGH)
    }

    /// The mean and the number of its values, if these are at least so many.
    pub(crate) fn if_at_least(&self, enough: u32) -> Option<(f64, u32)> {
        (self.is_valid() && self.samples >= enough).then_some((self.mean, self.samples))
    }

    /// Whether it has values, and a mean that measurements can give.
    pub(crate) fn is_valid(&self) -> bool {
        self.samples > 0 && self.mean.is_finite() && self.mean > 0.0
    }
}

/// A count as a number to compute with; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// A number rounded up to a count; one that is out of range becomes the nearest end of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as is wanted"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.ceil() as u64
}
