//! The event log: what was asked, waited for and loaded, in `state_dir`, for `crucible replay`.
//!
//! JSON lines without prompts, answers or keys; two files that together stay under
//! `log.events_size`. One task writes; a request only puts a line into a bounded channel, and what
//! does not fit is dropped and counted in the log itself.

mod energy;
mod sender;
mod timeline;
mod write;

use std::{path::Path, sync::Arc};

use crucible_config::Config;
use crucible_documents::event_log::{
    EVENT_LOG_FILE, LoggedEvent, OLDER_EVENT_LOG_FILE, read_event_log,
};
use crucible_router::{
    daily_tokens::DailyTokens,
    event::{Event, EventObserver},
};
use jiff::Timestamp;

use self::write::EventLogWriter;
pub(crate) use self::{energy::EnergyMeter, sender::EventLogSender, timeline::Timeline};
use crate::metrics::Metrics;

/// Tells an observer and the event log.
pub(crate) struct LoggedObserver<O> {
    /// The observer that gets each event first.
    pub(crate) observer: O,
    /// The log that each event is written to.
    pub(crate) events: EventLogSender,
    /// The observer that gets each event last.
    pub(crate) last: Arc<dyn EventObserver>,
    /// The last minutes, which each load and eviction is added to.
    pub(crate) timeline: Timeline,
}

/// The log as configured, and the task that writes it; none where it is off.
pub(crate) fn configured(
    config: &Config,
    metrics: &Metrics,
) -> (EventLogSender, Option<EventLogWriter>) {
    if !config.log.events {
        return (EventLogSender::default(), None);
    }
    let log = &config.log;
    let (events, writer) = EventLogWriter::new(&config.state_dir, log.events_size, metrics.clone());
    (events, Some(writer))
}

/// Charges what the client keys have used today according to the log of earlier runs, so that a restart
/// gives no key its day anew. A log that cannot be read charges nothing.
pub(crate) fn charge_today(folder: &Path, tokens: &DailyTokens) {
    let paths = [OLDER_EVENT_LOG_FILE, EVENT_LOG_FILE].map(|name| folder.join(name));
    let Ok(log) = read_event_log(&paths) else {
        return;
    };
    let now = Timestamp::now();
    for event in log.events {
        let LoggedEvent::Request(request) = event else {
            continue;
        };
        let (Some(key), Some(held)) = (&request.client, request.held_ms) else {
            continue;
        };
        let ended = request
            .at_ms
            .saturating_add(request.wait_ms)
            .saturating_add(held);
        let ended = i64::try_from(ended).unwrap_or(i64::MAX);
        if let Ok(ended) = Timestamp::from_millisecond(ended) {
            let used = request.prompt_tokens.saturating_add(request.output_tokens);
            tokens.charge(key, used, ended, now);
        }
    }
}

// === impl LoggedObserver ===

impl<O: EventObserver> EventObserver for LoggedObserver<O> {
    fn observe(&self, event: &Event) {
        self.observer.observe(event);
        self.events.happened(event);
        self.last.observe(event);
        self.timeline.happened(event);
    }
}
