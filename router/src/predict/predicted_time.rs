//! A predicted time, and whether it was measured or assumed.

use std::time::Duration;

/// The basis on which a predicted number rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionBasis {
    /// The number needs no estimate: nobody waits, or the model is loaded.
    Known,
    /// The number is the stated assumption for the device.
    Prior,
    /// The number is the mean of so many measured answers or loads.
    Measured(u32),
}

/// One part of a predicted time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredictedTime {
    /// The predicted length of this part.
    pub time: Duration,
    /// The basis that it rests on.
    pub basis: PredictionBasis,
}

// === impl PredictedTime ===

impl PredictedTime {
    /// No time at all, which is known and not estimated.
    pub const NONE: Self = Self {
        time: Duration::ZERO,
        basis: PredictionBasis::Known,
    };

    /// Makes a predicted time: `time` of the measured value, which comes with its number of
    /// samples, or `prior` where nothing was measured.
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

/// Converts seconds to a duration; a negative or too large number becomes the longest duration.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}
