//! The verification of settings: the counters that are its evidence, and the gauge that shows its
//! findings.

use std::collections::BTreeMap;

use crucible_config::tuning::{TuningId, TuningReport, TuningState};
use crucible_router::verify::Counters;
use prometheus::{IntCounterVec, core::Collector as _};

use super::Metrics;
use crate::error::{AbortCause, ErrorKind};

impl Metrics {
    /// The counters that the verification reads, since the start.
    pub(crate) fn counters(&self) -> Counters {
        let v = self.vectors();
        let all = |vector: &IntCounterVec| sums(vector, "", "", "").into_values().sum();
        let of = |vector: &IntCounterVec, label: &str, value: &str| {
            sums(vector, label, value, "").into_values().sum()
        };
        Counters {
            uptime: self.inner.since.elapsed(),
            stream_bytes: all(&v.stream_bytes),
            stream_flushes: all(&v.stream_flushes),
            idle_timeouts: of(&v.stream_aborted, "cause", AbortCause::IdleTimeout.as_str()),
            queue_full: of(&v.rejected, "reason", ErrorKind::QueueFull.code()),
            polls: sums(&v.health_checks, "", "", "engine"),
            expired: of(&v.model_evictions, "reason", "ttl"),
            vanished: sums(&v.model_evictions, "reason", "external", "engine"),
            injected: sums(&v.defaults_injected, "", "", "param"),
        }
    }

    /// Shows the state of each setting as it was found.
    pub(crate) fn settings(&self, report: &TuningReport) {
        for row in &report.tunings {
            let state = row.state.unwrap_or(TuningState::Unverifiable);
            self.setting(row.id, state);
        }
    }

    /// Shows each setting as unverifiable, before it was looked at for the first time.
    pub(super) fn prepare_settings(&self) {
        for id in TuningId::ALL {
            self.setting(id, TuningState::Unverifiable);
        }
    }

    /// Shows this state of a setting: of the five states, only the present one has a series.
    fn setting(&self, id: TuningId, state: TuningState) {
        let gauge = &self.vectors().tuning_state;
        gauge
            .with_label_values(&[id.as_str(), state.as_str()])
            .set(1.0);
        for other in TuningState::ALL.into_iter().filter(|other| *other != state) {
            // Most of them do not exist.
            let _ = gauge.remove_label_values(&[id.as_str(), other.as_str()]);
        }
    }
}

/// Sums by the value of label `by`, of the series that have `value` at `label` (empty: of all).
fn sums(vector: &IntCounterVec, label: &str, value: &str, by: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for family in vector.collect() {
        for metric in family.get_metric() {
            let of = |name: &str| {
                let mut pairs = metric.get_label().iter();
                pairs
                    .find(|p| p.name() == name)
                    .map(|p| p.value().to_owned())
            };
            if label.is_empty() || of(label).as_deref() == Some(value) {
                // Counters are whole numbers far below 2^53.
                let count: u64 = format!("{:.0}", metric.get_counter().get_value())
                    .parse()
                    .unwrap_or_default();
                *sums.entry(of(by).unwrap_or_default()).or_default() += count;
            }
        }
    }
    sums
}
