//! A predicted time, and whether it was measured or assumed.

use std::time::Duration;

/// The basis that a number rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionBasis {
    /// It needs no estimate: nobody waits, or the model is loaded.
    Known,
    /// The stated prior of the device.
    Prior,
    /// So many measured answers or loads.
    Measured(u32),
}

/// One part of a predicted time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredictedTime {
    /// The time.
    pub time: Duration,
    /// The basis that it rests on.
    pub basis: PredictionBasis,
}

// === impl PredictedTime ===

impl PredictedTime {
    /// No wait at all.
    pub const NONE: Self = Self {
        time: Duration::ZERO,
        basis: PredictionBasis::Known,
    };

    /// A time that follows from a measured value, which comes with its number of samples; without one, a
    /// prior.
    pub(super) fn of(
        measured: Option<(f64, u32)>,
        time: impl FnOnce(f64) -> Duration,
        prior: impl FnOnce() -> Duration,
    ) -> Self {
        match measured {
            Some((value, samples)) => Self {
                time: time(value),
                basis: PredictionBasis::Measured(samples),
            },
            None => Self {
                time: prior(),
                basis: PredictionBasis::Prior,
            },
        }
    }
}

/// Seconds as a duration; what is out of range is the longest one.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}
