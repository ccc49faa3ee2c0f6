//! The energy lines of the event log: how far the machine's energy counters went on while requests ran.
//!
//! Counters are read only while requests hold permits, because reading a graphics card keeps it from saving
//! power: once when the first is seen, then every [`PERIOD`], and once when none is left. Looks are a second
//! apart, so up to a second at the begin of a busy time is not measured, and a single request shorter than that
//! may be missed.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crucible_documents::event_log::{EnergyEvent, LoggedEvent};
use crucible_router::machine::readings::EnergyReading;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::sender::{EventLogSender, unix_ms};
use crate::{metrics::MachineWatch, request::ActiveRequests};

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
    begin: Option<(SystemTime, BTreeMap<String, f64>)>,
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
            if !self.periods.needs_reading(runs, SystemTime::now()) {
                continue;
            }
            let Some(readings) = self.machine.energy().await else {
                continue;
            };
            for line in self.periods.step(runs, &readings, SystemTime::now()) {
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
    fn needs_reading(&self, runs: bool, now: SystemTime) -> bool {
        match &self.begin {
            None => runs,
            Some((begin, _)) => {
                !runs || now.duration_since(*begin).is_ok_and(|took| took >= PERIOD)
            }
        }
    }

    /// Ends the period that runs, and begins the next one where requests still run. Gives a line for each
    /// counter that was read at both ends; none where the clock was set back meanwhile.
    fn step(
        &mut self,
        runs: bool,
        readings: &[EnergyReading],
        now: SystemTime,
    ) -> Vec<EnergyEvent> {
        let counters = readings.iter().map(|one| (one.source.clone(), one.joules));
        let next = runs.then(|| (now, counters.collect()));
        let Some((begin, before)) = std::mem::replace(&mut self.begin, next) else {
            return Vec::new();
        };
        let Ok(took) = now.duration_since(begin) else {
            return Vec::new();
        };
        let line = |reading: &EnergyReading| {
            Some(EnergyEvent {
                at_ms: unix_ms(begin),
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
    use crucible_config::checked::Device;
    use crucible_router::machine::readings::EnergyInterface;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn reading(joules: f64) -> EnergyReading {
        EnergyReading {
            source: "gpu0".to_owned(),
            interface: EnergyInterface::Nvml,
            joules,
        }
    }

    #[test]
    fn a_line_is_written_for_each_period_in_which_requests_ran() {
        let mut periods = EnergyPeriods::default();
        assert!(!periods.needs_reading(false, at(100)));
        assert!(periods.needs_reading(true, at(101)));
        assert_eq!(periods.step(true, &[reading(50.0)], at(101)), []);
        assert!(!periods.needs_reading(true, at(110)));
        assert!(periods.needs_reading(true, at(111)));
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
        assert!(periods.needs_reading(false, at(112)));
        let lines = periods.step(false, &[reading(260.0)], at(112));
        assert_eq!(lines, [line(111_000, 1_000, 10.0)]);
        assert!(!periods.needs_reading(false, at(200)));
    }

    #[test]
    fn a_counter_that_comes_late_and_a_clock_that_is_set_back_give_no_line() {
        let mut periods = EnergyPeriods::default();
        assert_eq!(periods.step(true, &[], at(100)), []);
        assert_eq!(periods.step(true, &[reading(5.0)], at(110)), []);
        assert_eq!(periods.step(true, &[reading(6.0)], at(90)), []);
        assert_eq!(periods.step(false, &[reading(8.0)], at(95)).len(), 1);
    }
}
