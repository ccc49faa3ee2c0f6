//! The energy lines of the event log: how far the machine's energy counters went on while requests ran.
//!
//! Counters are read only while requests hold permits, because reading a graphics card keeps it from saving
//! power: once when the first is seen, then every [`PERIOD`], and once when none is left. Looks are a second
//! apart, so up to a second at the begin of a busy time is not measured, and a single request shorter than that
//! may be missed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crucible_documents::event_log::{EnergyEvent, LoggedEvent};
use crucible_router::machine::readings::EnergyReading;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::sender::{EventLogSender, unix_ms};
use crate::{
    metrics::MachineWatch,
    request::{ActiveRequests, Moment},
};

/// The time between two looks whether a request runs.
const LOOK: Duration = Duration::from_secs(1);
/// The longest period of one line.
const PERIOD: Duration = Duration::from_secs(10);

/// The task that writes energy lines until it is stopped.
pub(crate) struct EnergyMeter {
    events: EventLogSender,
    machine: MachineWatch,
    active: Arc<ActiveRequests>,
    periods: EnergyPeriods,
    /// The requests that the log had at the last look.
    logged: u64,
}

/// The counters at the begin of the period that runs; `None` while no request does.
#[derive(Debug, Default)]
struct EnergyPeriods {
    begin: Option<(Instant, BTreeMap<String, f64>)>,
}

// === impl EnergyMeter ===

impl EnergyMeter {
    /// A meter that looks at the machine while one of the active requests holds a permit.
    pub(crate) fn new(
        events: EventLogSender,
        machine: MachineWatch,
        active: Arc<ActiveRequests>,
    ) -> Self {
        Self {
            events,
            machine,
            active,
            periods: EnergyPeriods::default(),
            logged: 0,
        }
    }

    /// Ends when it is stopped, or at once where there is no event log.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if self.events.is_off() {
            return;
        }
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let runs = self.requests_run();
            if !self.periods.needs_reading(runs, Instant::now()) {
                continue;
            }
            let Some(readings) = self.machine.energy().await else {
                continue;
            };
            for line in self.periods.step(runs, &readings, Moment::now()) {
                self.events.put(|| LoggedEvent::Energy(line));
            }
        }
    }

    /// Whether a request holds a permit now, or one that did has ended since the last look.
    fn requests_run(&mut self) -> bool {
        let logged = self.events.requests();
        let ended = std::mem::replace(&mut self.logged, logged) != logged;
        let holds = |request: &Arc<crate::request::ActiveRequest>| {
            request.note(|facts| facts.granted_at.is_some())
        };
        ended || self.active.all().iter().any(holds)
    }
}

// === impl EnergyPeriods ===

impl EnergyPeriods {
    /// Whether a period begins or ends now.
    fn needs_reading(&self, runs: bool, now: Instant) -> bool {
        match &self.begin {
            None => runs,
            Some((begin, _)) => !runs || now - *begin >= PERIOD,
        }
    }

    /// Ends the period that runs, and begins the next one where requests still run. Gives a line for each
    /// counter that was read at both ends. Its length is that of the monotonic clock and its begin is told by the wall
    /// clock at its end, as the times of requests are: where the wall clock is set meanwhile they still cover each other.
    fn step(&mut self, runs: bool, readings: &[EnergyReading], now: Moment) -> Vec<EnergyEvent> {
        let counters = readings.iter().map(|one| (one.source.clone(), one.joules));
        let next = runs.then(|| (now.monotonic, counters.collect()));
        let Some((begin, before)) = std::mem::replace(&mut self.begin, next) else {
            return Vec::new();
        };
        let took = now.monotonic - begin;
        let line = |reading: &EnergyReading| {
            Some(EnergyEvent {
                at_ms: unix_ms(now.wall_at(begin)),
                took_ms: u64::try_from(took.as_millis()).ok()?,
                joules: reading.joules - before.get(&reading.source)?,
                source: Arc::from(&*reading.source),
                interface: reading.interface.as_str().into(),
                device: reading.interface.device(),
            })
        };
        readings.iter().filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crucible_config::checked::Device;
    use crucible_router::machine::readings::EnergyInterface;

    use super::*;

    /// A wall clock that counts from 1970 beside a monotonic one that counts from `start`.
    fn clocks(start: Instant) -> impl Fn(u64) -> Moment {
        move |seconds| Moment {
            monotonic: start + Duration::from_secs(seconds),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    fn reading(joules: f64) -> EnergyReading {
        EnergyReading {
            source: "gpu0".to_owned(),
            interface: EnergyInterface::Nvml,
            joules,
        }
    }

    #[tokio::test]
    async fn a_line_is_written_for_each_period_in_which_requests_ran() {
        let mut periods = EnergyPeriods::default();
        let at = clocks(Instant::now());
        assert!(!periods.needs_reading(false, at(100).monotonic));
        assert!(periods.needs_reading(true, at(101).monotonic));
        assert_eq!(periods.step(true, &[reading(50.0)], at(101)), []);
        assert!(!periods.needs_reading(true, at(110).monotonic));
        assert!(periods.needs_reading(true, at(111).monotonic));
        let line = |at_ms, took_ms, joules| EnergyEvent {
            at_ms,
            took_ms,
            source: "gpu0".into(),
            interface: "nvml".into(),
            device: Device::Gpu,
            joules,
        };
        let lines = periods.step(true, &[reading(250.0)], at(111));
        assert_eq!(lines, [line(101_000, 10_000, 200.0)]);
        assert!(periods.needs_reading(false, at(112).monotonic));
        let lines = periods.step(false, &[reading(260.0)], at(112));
        assert_eq!(lines, [line(111_000, 1_000, 10.0)]);
        assert!(!periods.needs_reading(false, at(200).monotonic));
    }

    #[tokio::test]
    async fn a_counter_that_comes_late_gives_no_line() {
        let mut periods = EnergyPeriods::default();
        let at = clocks(Instant::now());
        assert_eq!(periods.step(true, &[], at(100)), []);
        assert_eq!(periods.step(true, &[reading(5.0)], at(110)), []);
        assert_eq!(periods.step(false, &[reading(8.0)], at(115)).len(), 1);
    }

    #[tokio::test]
    async fn a_wall_clock_that_is_set_makes_no_period_longer_or_shorter() {
        let at = clocks(Instant::now());
        for wall in [4_000, 50] {
            let mut periods = EnergyPeriods::default();
            assert_eq!(periods.step(true, &[reading(5.0)], at(100)), []);
            let set = Moment {
                wall: at(wall).wall,
                ..at(110)
            };
            let lines = periods.step(false, &[reading(8.0)], set);
            let [line] = &lines[..] else {
                panic!("{lines:?}");
            };
            assert_eq!((line.at_ms, line.took_ms), ((wall - 10) * 1000, 10_000));
        }
    }
}
