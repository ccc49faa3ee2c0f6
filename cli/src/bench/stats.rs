//! Statistics of the runs: their order, the median with its range, and the meaning of a difference
//! between two variants. The functions are pure.

use serde::Serialize;

/// The smallest number of runs of each variant that decides anything. Four runs against four
/// separate completely by chance in 1 of 35 cases.
pub(super) const FEWEST: usize = 4;

/// The measured values of one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct RunSample {
    /// The seconds from the request to the first token, model loaded.
    pub(super) first_token_s: f64,
    /// Prompt tokens that the engine processes in a second.
    pub(super) prompt_per_s: f64,
    /// The tokens that the engine generates in a second, without other requests beside it.
    pub(super) generated_per_s: f64,
    /// The seconds that the load took; `None` where nothing was loaded.
    pub(super) load_s: Option<f64>,
    /// Memory in bytes: the model's size as the engine reports it, or the peak of the engine's
    /// process; `None` where neither is known.
    pub(super) memory_bytes: Option<f64>,
    /// Prompt and generated tokens per second of wall-clock time, with as many requests at once as
    /// the variant sends.
    pub(super) tokens_per_s: f64,
}

/// A quantity that every run measures, with its names and its direction.
pub(super) struct BenchMetric {
    /// The name of the quantity in the JSON report.
    pub(super) key: &'static str,
    /// The heading of its column in the table, with the unit.
    pub(super) title: &'static str,
    /// Whether a larger value is better, as for a rate, and not a smaller one, as for a time.
    pub(super) more_is_better: bool,
    /// The divisor that turns a sample's value into the unit of the table.
    pub(super) unit: f64,
    /// Takes the value from a sample; `None` where the run did not measure it.
    pub(super) of: fn(&RunSample) -> Option<f64>,
}

/// The quantities of a report, in the order of its columns.
pub(super) const METRICS: [BenchMetric; 6] = [
    BenchMetric {
        key: "generated_per_s",
        title: "generated tok/s",
        more_is_better: true,
        unit: 1.0,
        of: |s| Some(s.generated_per_s),
    },
    BenchMetric {
        key: "prompt_per_s",
        title: "prompt tok/s",
        more_is_better: true,
        unit: 1.0,
        of: |s| Some(s.prompt_per_s),
    },
    BenchMetric {
        key: "first_token_s",
        title: "first token ms",
        more_is_better: false,
        unit: 0.001,
        of: |s| Some(s.first_token_s),
    },
    BenchMetric {
        key: "tokens_per_s",
        title: "total tok/s",
        more_is_better: true,
        unit: 1.0,
        of: |s| Some(s.tokens_per_s),
    },
    BenchMetric {
        key: "load_s",
        title: "load ms",
        more_is_better: false,
        unit: 0.001,
        of: |s| s.load_s,
    },
    BenchMetric {
        key: "memory_bytes",
        title: "memory MB",
        more_is_better: false,
        unit: 1e6,
        of: |s| s.memory_bytes,
    },
];

/// The median and the range of one quantity over the runs of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct SampleSummary {
    /// The median of the values; of an even number of runs, the mean of the two in the middle.
    pub(super) median: f64,
    /// The smallest value of a run.
    pub(super) min: f64,
    /// The largest value of a run.
    pub(super) max: f64,
    /// The number of runs with a value.
    pub(super) runs: usize,
}

/// The result of comparing the runs of two variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DifferenceVerdict {
    /// Every run was better than every run of the other.
    Better,
    /// Every run was worse than every run of the other.
    Worse,
    /// The ranges of both variants overlap, so the difference may be chance.
    WithinNoise,
    /// One of the variants has fewer than [`FEWEST`] runs.
    TooFewRuns,
}

// === impl SampleSummary ===

impl SampleSummary {
    /// Summarises the values; the result is `None` without any.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let runs = sorted.len();
        let upper = sorted[runs / 2];
        let median = if runs.is_multiple_of(2) {
            f64::midpoint(sorted[runs / 2 - 1], upper)
        } else {
            upper
        };
        Some(Self {
            median,
            min,
            max,
            runs,
        })
    }

    /// Compares this variant with `other`. Only ranges that do not overlap make a difference.
    pub(super) fn against(&self, other: &Self, more_is_better: bool) -> DifferenceVerdict {
        if self.runs.min(other.runs) < FEWEST {
            return DifferenceVerdict::TooFewRuns;
        }
        match (self.min > other.max, self.max < other.min) {
            (true, _) if more_is_better => DifferenceVerdict::Better,
            (_, true) if !more_is_better => DifferenceVerdict::Better,
            (false, false) => DifferenceVerdict::WithinNoise,
            _ => DifferenceVerdict::Worse,
        }
    }
}

// === impl DifferenceVerdict ===

impl DifferenceVerdict {
    /// Returns the words for the verdict in tables, such as `within the noise`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::WithinNoise => "within the noise",
            Self::TooFewRuns => "too few runs",
        }
    }
}

/// Returns the order of the runs as indices of the variants: A B C, C B A, A B C. In this order a
/// machine that warms up, or that others use for a while, affects all variants about equally.
pub(super) fn schedule(variants: usize, rounds: usize) -> Vec<usize> {
    (0..rounds)
        .flat_map(|round| {
            (0..variants).map(move |i| {
                if round.is_multiple_of(2) {
                    i
                } else {
                    variants - 1 - i
                }
            })
        })
        .collect()
}

/// Returns by how many percent `now` is more than `before`, or `None` where `before` is 0.
pub(super) fn percent(now: f64, before: f64) -> Option<f64> {
    (before > 0.0).then(|| (now / before - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[f64]) -> SampleSummary {
        SampleSummary::of(values.iter().copied()).unwrap()
    }

    #[test]
    fn rounds_go_forth_and_back() {
        assert_eq!(schedule(3, 3), [0, 1, 2, 2, 1, 0, 0, 1, 2]);
        assert!(schedule(3, 0).is_empty());
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(SampleSummary::of([]), None);
        let of = summary(&[4.0, 1.0, 2.0, 10.0]);
        assert_eq!((of.median, of.min, of.max, of.runs), (3.0, 1.0, 10.0, 4));
        assert!((summary(&[3.0, 1.0, 2.0]).median - 2.0).abs() < 1e-9);
    }

    #[test]
    fn only_ranges_that_do_not_touch_decide() {
        let low = summary(&[1.0, 2.0, 2.0, 3.0]);
        let high = summary(&[4.0, 5.0, 5.0, 6.0]);
        let mid = summary(&[3.0, 4.0, 4.0, 5.0]);
        assert_eq!(high.against(&low, true), DifferenceVerdict::Better);
        assert_eq!(high.against(&low, false), DifferenceVerdict::Worse);
        assert_eq!(low.against(&high, true), DifferenceVerdict::Worse);
        assert_eq!(low.against(&high, false), DifferenceVerdict::Better);
        assert_eq!(mid.against(&low, true), DifferenceVerdict::WithinNoise);
        let few = summary(&[9.0, 9.0, 9.0]);
        assert_eq!(few.against(&low, true), DifferenceVerdict::TooFewRuns);
    }

    #[test]
    fn a_change_from_nothing_has_no_percentage() {
        assert_eq!(percent(1.0, 0.0), None);
        assert!((percent(3.0, 2.0).unwrap() - 50.0).abs() < 1e-9);
    }
}
