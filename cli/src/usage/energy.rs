//! The division of the machine's energy among the requests that ran meanwhile.
//!
//! A counter measures a whole device, never one request. In each logged period the joules of a counter go to
//! the requests that held permits on its device, by the time for which they did; what falls into times in
//! which none did is idle. For a period of 10 s with 100 J, one request for 4 s and another for 2 s at the
//! same time, 40 J are divided 2 : 1 and 60 J are idle.

use std::collections::BTreeMap;

use crucible_config::checked::Device;
use crucible_documents::event_log::{EnergyEvent, RequestEvent};

/// The time for which a request held a permit, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PermitTime {
    begin: u64,
    end: u64,
    device: Device,
}

/// What a counter measured, and how much of it no request took.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CounterTotal {
    /// The interface that the counter was read by.
    pub(super) interface: String,
    /// Joules of all periods.
    pub(super) joules: f64,
    /// Joules of the times in which no request held a permit on the device.
    pub(super) idle: f64,
}

/// The energy of the counters, divided among requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DividedEnergy {
    /// Joules by counter for each request, in the order in which the requests were given.
    pub(super) by_request: Vec<BTreeMap<String, f64>>,
    /// The totals by counter.
    pub(super) counters: BTreeMap<String, CounterTotal>,
}

// === impl PermitTime ===

impl PermitTime {
    /// Returns the time of a logged request; `None` where it never held a permit or its device is not known.
    pub(super) fn of(request: &RequestEvent) -> Option<Self> {
        let begin = request.at_ms.saturating_add(request.wait_ms);
        Some(Self {
            begin,
            end: begin.saturating_add(request.held_ms?),
            device: request.facts.as_ref()?.device,
        })
    }

    /// Returns the part of the time that lies in a period on a counter's device.
    fn within(self, period: &EnergyEvent) -> Option<(u64, u64)> {
        let runs_there = match self.device {
            Device::Auto => true,
            Device::Gpu | Device::Cpu => self.device == period.device,
        };
        let begin = self.begin.max(period.at_ms);
        let end = self.end.min(period.at_ms.saturating_add(period.took_ms));
        (runs_there && begin < end).then_some((begin, end))
    }
}

// === impl DividedEnergy ===

impl DividedEnergy {
    /// Divides the energy of the periods among requests, one entry of `permits` each.
    pub(super) fn among(permits: &[Option<PermitTime>], periods: &[&EnergyEvent]) -> Self {
        let mut divided = Self {
            by_request: vec![BTreeMap::new(); permits.len()],
            counters: BTreeMap::new(),
        };
        let mut order: Vec<usize> = (0..permits.len())
            .filter(|&n| permits[n].is_some())
            .collect();
        order.sort_by_key(|&n| permits[n].map(|permit| permit.begin));
        let mut periods: Vec<_> = periods.to_vec();
        periods.sort_by_key(|period| period.at_ms);
        // Both are in the order of their begin, so that each request is a candidate only until it ends.
        let mut open: Vec<usize> = Vec::new();
        let mut later = order.into_iter().peekable();
        for period in periods {
            let end = period.at_ms.saturating_add(period.took_ms);
            while let Some(n) = later.next_if(|&n| permits[n].is_some_and(|p| p.begin < end)) {
                open.push(n);
            }
            open.retain(|&n| permits[n].is_some_and(|p| p.end > period.at_ms));
            divided.divide(permits, &open, period);
        }
        divided
    }

    fn divide(&mut self, permits: &[Option<PermitTime>], open: &[usize], period: &EnergyEvent) {
        let parts: Vec<(usize, (u64, u64))> = open
            .iter()
            .filter_map(|&n| Some((n, permits[n]?.within(period)?)))
            .collect();
        let total: u64 = parts.iter().map(|(_, (begin, end))| end - begin).sum();
        let covered = covered(parts.iter().map(|(_, part)| *part).collect());
        let used = if period.took_ms == 0 {
            0.0
        } else {
            period.joules * ratio(covered, period.took_ms)
        };
        let counter = self.counters.entry(period.source.to_string()).or_default();
        counter.interface = period.interface.to_string();
        counter.joules += period.joules;
        counter.idle += period.joules - used;
        for (n, (begin, end)) in parts {
            let share = used * ratio(end - begin, total);
            *self.by_request[n]
                .entry(period.source.to_string())
                .or_default() += share;
        }
    }
}

/// Returns the milliseconds that at least one of the parts covers.
fn covered(mut parts: Vec<(u64, u64)>) -> u64 {
    parts.sort_unstable();
    let mut sum = 0;
    let mut reached = 0;
    for (begin, end) in parts {
        sum += end.saturating_sub(begin.max(reached));
        reached = reached.max(end);
    }
    sum
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a log are far below 2^53"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn permit(begin: u64, end: u64, device: Device) -> PermitTime {
        PermitTime { begin, end, device }
    }

    fn period(at_ms: u64, took_ms: u64, device: Device, joules: f64) -> EnergyEvent {
        EnergyEvent {
            at_ms,
            took_ms,
            source: if device == Device::Gpu {
                "gpu0"
            } else {
                "package0"
            }
            .into(),
            interface: "nvml".into(),
            device,
            joules,
        }
    }

    #[test]
    fn energy_goes_to_who_ran_on_the_device_and_the_rest_is_idle() {
        let permits = [
            Some(permit(1_000, 5_000, Device::Gpu)),
            Some(permit(2_000, 4_000, Device::Gpu)),
            Some(permit(0, 10_000, Device::Cpu)),
            None,
        ];
        let divided = DividedEnergy::among(&permits, &[&period(0, 10_000, Device::Gpu, 100.0)]);
        let of = |n: usize| divided.by_request[n].get("gpu0").copied();
        let near = |found: Option<f64>, expected: f64| {
            assert!(
                found.is_some_and(|f| (f - expected).abs() < 1e-9),
                "{found:?}"
            );
        };
        near(of(0), 40.0 * 2.0 / 3.0);
        near(of(1), 40.0 / 3.0);
        assert_eq!((of(2), of(3)), (None, None));
        near(Some(divided.counters["gpu0"].idle), 60.0);
    }

    proptest! {
        /// What the counters measured is what requests and idle times have together.
        #[test]
        fn nothing_is_lost_and_nothing_counted_twice(
            permits in vec((0_u64..100, 0_u64..50, any::<bool>()), 0..12),
            periods in vec((0_u64..120, 0_u64..30, any::<bool>(), 0_u32..1000), 0..8),
        ) {
            let device = |gpu| if gpu { Device::Gpu } else { Device::Cpu };
            let permits: Vec<_> = permits
                .iter()
                .map(|&(begin, held, gpu)| Some(permit(begin, begin + held, device(gpu))))
                .collect();
            let periods: Vec<_> = periods
                .iter()
                .map(|&(at, took, gpu, joules)| period(at, took, device(gpu), joules.into()))
                .collect();
            let divided = DividedEnergy::among(&permits, &periods.iter().collect::<Vec<_>>());
            let taken: f64 = divided.by_request.iter().flat_map(BTreeMap::values).sum();
            let idle: f64 = divided.counters.values().map(|c| c.idle).sum();
            let measured: f64 = periods.iter().map(|p| p.joules).sum();
            prop_assert!((taken + idle - measured).abs() < 1e-6, "{taken} + {idle} != {measured}");
            prop_assert!(divided.counters.values().all(|c| c.idle > -1e-9));
        }
    }
}
