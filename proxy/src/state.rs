//! The state that the layers, the handlers and the background tasks share.

mod spellings;

use std::sync::Arc;

use crucible_config::Live;
use crucible_router::{handle::RouterHandle, verify::evidence::Probes};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    events::Events,
    guard::OwnName,
    ledger::Ledger,
    metrics::Metrics,
    relay::{prefill::Prefills, upstream::Upstream},
    request::ActiveRequests,
};

pub(crate) use spellings::EngineSpellings;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<AppParts>);

/// The parts of [`AppState`].
pub struct AppParts {
    /// The configuration in effect.
    pub config: Live,
    /// Who runs where.
    pub router: RouterHandle,
    /// Counters.
    pub metrics: Metrics,
    /// Connections to engines.
    pub upstream: Upstream,
    /// Set at the first SIGTERM: not ready, nothing new.
    pub draining: CancellationToken,
    /// Set when the drain is over: streams end with an error.
    pub ending: CancellationToken,
    pub(crate) own_name: OwnName,
    /// The requests that are being answered.
    pub(crate) active: Arc<ActiveRequests>,
    /// The requests that have ended and are still to be counted.
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) prefills: Prefills,
    /// How engines spell what answers, where they list no such name.
    pub(crate) spellings: EngineSpellings,
    /// What `doctor --probe` found, as it was read last.
    pub(crate) probes: RwLock<Arc<Probes>>,
}

// === impl AppStateState ===

impl AppState {
    /// Puts the parts together.
    pub(crate) fn new(
        config: Live,
        router: RouterHandle,
        metrics: Metrics,
        upstream: Upstream,
        draining: CancellationToken,
        ending: CancellationToken,
        events: Events,
    ) -> Self {
        let ledger = Arc::new(Ledger::new(router.clone(), metrics.clone(), events));
        Self(Arc::new(AppParts {
            config,
            router,
            metrics,
            upstream,
            draining,
            ending,
            own_name: OwnName::read(),
            active: Arc::default(),
            ledger,
            prefills: Prefills::default(),
            spellings: EngineSpellings::default(),
            probes: RwLock::default(),
        }))
    }
}

impl AppState {
    /// Brings the gauges up to this moment.
    pub(crate) fn observe(&self) {
        self.metrics.update_view(&self.router.fresh_view());
    }
}

impl std::ops::Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
