//! The events that the router reports to an observer, such as the metrics of the proxy.

use std::{sync::Arc, time::Duration};

/// The outcome of a load: the model is there, the engine refused, it took too long, or its memory did
/// not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadOutcome {
    /// The model is resident.
    Ok,
    /// The engine refused the load.
    Error,
    /// The load did not end within its time budget.
    Timeout,
    /// The engine had too little memory for the model.
    Oom,
}

/// The reason why a load was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadTrigger {
    /// A request waits for the model.
    Request,
    /// The model is warmed up when Crucible starts.
    Warmup,
    /// A pinned model vanished, or its engine is about to unload it by its own clock.
    Pin,
}

/// The reason why a resident was evicted or vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvictionReason {
    /// The engine held as many models as its limit allows.
    Limit,
    /// Another load needed its memory.
    Conflict,
    /// The model was loaded again with other options.
    Resize,
    /// The resident vanished without Crucible's doing.
    External,
    /// Crucible ended.
    Exit,
    /// The resident was idle for its time to live.
    Ttl,
    /// Another instance of the same model serves as well.
    Duplicate,
}

/// One event that the router reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A load ended.
    Load {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The outcome of the load.
        outcome: LoadOutcome,
        /// The reason why the load was started.
        trigger: LoadTrigger,
        /// The time from the order of the load to its end.
        took: Duration,
    },
    /// A resident was evicted or vanished.
    Evicted {
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The reason why the resident went.
        reason: EvictionReason,
    },
    /// A request was granted after this wait.
    Granted {
        /// The name of the engine.
        engine: Arc<str>,
        /// The time that the request waited for a slot or a load.
        waited: Duration,
        /// Whether a load was part of the wait.
        loaded: bool,
    },
    /// A load never ended, or requests got no answer, while the engine answered its polls. Only a
    /// restart of the engine may help.
    Wedged {
        /// The name of the engine.
        engine: Arc<str>,
    },
    /// An engine was polled.
    HealthCheck {
        /// The name of the engine.
        engine: Arc<str>,
        /// Whether the engine answered.
        ok: bool,
        /// Whether its answer says what it holds loaded.
        lists_residents: bool,
    },
}

/// A receiver of events. The metrics of the proxy implement it.
pub trait EventObserver: Send + Sync + 'static {
    /// Takes one event. It is called where requests are decided, so it must neither block nor fail.
    fn observe(&self, event: &Event);
}

/// An observer that ignores every event, for tests and tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl EventObserver for Silent {
    fn observe(&self, _: &Event) {}
}
