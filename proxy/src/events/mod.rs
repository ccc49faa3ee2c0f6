//! The event log: what was asked, waited for and loaded, in `state_dir`, for `crucible replay`.
//!
//! JSON lines without prompts, answers or keys; two files that together stay under
//! `log.events_size`. One task writes; a request only puts a line into a bounded channel, and what
//! does not fit is dropped and counted in the log itself.

mod sender;
mod write;

use crucible_config::Config;
use crucible_router::event::{Event, EventObserver};

pub(crate) use self::sender::EventLog;
use self::write::EventLogWriter;
use crate::metrics::Metrics;

/// Tells an observer and the event log.
pub(crate) struct LoggedObserver<O> {
    /// The observer that gets each event first.
    pub(crate) observer: O,
    /// The log that each event is written to.
    pub(crate) events: EventLog,
}

/// The log as configured, and the task that writes it; none where it is off.
pub(crate) fn configured(config: &Config, metrics: &Metrics) -> (EventLog, Option<EventLogWriter>) {
    if !config.log.events {
        return (EventLog::default(), None);
    }
    let log = &config.log;
    let (events, writer) = EventLogWriter::new(&config.state_dir, log.events_size, metrics.clone());
    (events, Some(writer))
}

// === impl LoggedObserver ===

impl<O: EventObserver> EventObserver for LoggedObserver<O> {
    fn observe(&self, event: &Event) {
        self.observer.observe(event);
        self.events.happened(event);
    }
}
