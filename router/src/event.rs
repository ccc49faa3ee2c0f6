//! What the router tells its observer (metrics); never blocks, never fails.

use std::{sync::Arc, time::Duration};

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadOutcome {
    /// Resident.
    Ok,
    /// Refused by the engine.
    Error,
    /// Over budget.
    Timeout,
    /// The engine had not enough memory.
    Oom,
}

/// Why a load was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadTrigger {
    /// A request waits for it.
    Request,
    /// Warm-up at start.
    Warmup,
    /// A pinned model vanished, or its engine's clock runs out.
    Pin,
}

/// Why a resident went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvictionReason {
    /// The count limit.
    Limit,
    /// Another load needed its memory.
    Conflict,
    /// Loaded again with other options.
    Resize,
    /// It vanished without us.
    External,
    /// The end of Crucible.
    Exit,
    /// Idle for its time to live.
    Ttl,
    /// Another instance of the same model does as well.
    Duplicate,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A load ended.
    Load {
        /// Engine.
        engine: Arc<str>,
        /// Model.
        model: Arc<str>,
        /// How.
        outcome: LoadOutcome,
        /// Why.
        trigger: LoadTrigger,
        /// How long.
        took: Duration,
    },
    /// A resident was evicted or vanished.
    Evicted {
        /// Engine.
        engine: Arc<str>,
        /// Model.
        model: Arc<str>,
        /// Why.
        reason: EvictionReason,
    },
    /// A request was granted after this wait.
    Granted {
        /// Engine.
        engine: Arc<str>,
        /// Waited for a slot or a load.
        waited: Duration,
        /// A load was part of the wait.
        loaded: bool,
    },
    /// A load never ended, or requests found no answer, while the engine answered its polls: only a
    /// restart may help it.
    Wedged {
        /// Engine.
        engine: Arc<str>,
    },
    /// An engine was polled.
    HealthCheck {
        /// Engine.
        engine: Arc<str>,
        /// It answered.
        ok: bool,
    },
}

/// Takes events; implemented by the metrics of the proxy.
pub trait Observer: Send + Sync + 'static {
    /// One event. Must return at once.
    fn observe(&self, event: &Event);
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event) {}
}
