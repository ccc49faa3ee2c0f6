//! The state that the layers, the handlers and the background tasks share.

mod spellings;

use std::{path::Path, sync::Arc};

use crucible_config::LiveConfig;
use crucible_router::{
    handle::RouterHandle, machine::readings::MachineReader, verify::evidence::Probes,
};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    events::EventLog,
    guard::OwnName,
    ledger::Ledger,
    metrics::{MachineWatch, Metrics},
    relay::prefill::Prefills,
    request::ActiveRequests,
    upstream::Upstream,
};

pub(crate) use spellings::EngineSpellings;

/// The shared state of one running instance. A clone is one reference more.
#[derive(Clone)]
pub struct AppState(Arc<AppParts>);

/// The parts of [`AppState`], which the layers and handlers of the server read.
pub struct AppParts {
    /// The configuration in effect, and its reload.
    pub config: LiveConfig,
    /// The router: engines, plans, permits, what is loaded.
    pub router: RouterHandle,
    /// The metrics that `/metrics` shows.
    pub metrics: Metrics,
    /// The connections to engines over which prompts go.
    pub upstream: Upstream,
    /// Cancelled at the first SIGTERM: from then on the instance is not ready and takes no new
    /// prompt.
    pub draining: CancellationToken,
    /// Cancelled when the drain is over: streams end with an error.
    pub ending: CancellationToken,
    /// The look at the machine that the metrics take.
    pub(crate) machine: MachineWatch,
    /// The machine's own name, under which clients may address this instance.
    pub(crate) own_name: OwnName,
    /// The requests that are being answered.
    pub(crate) active: Arc<ActiveRequests>,
    /// The requests that have ended and are still to be counted.
    pub(crate) ledger: Arc<Ledger>,
    /// The number of requests per instance that wait for their first token; while there are any,
    /// the idle clocks of the instance's other streams pause.
    pub(crate) prefills: Prefills,
    /// The names under which engines answer although they list no such name.
    pub(crate) spellings: EngineSpellings,
    /// The findings of `doctor --probe`, as they were read last.
    pub(crate) probes: RwLock<Arc<Probes>>,
}

// === impl AppState ===

impl AppState {
    /// Puts the parts of an instance together.
    pub(crate) fn new(
        config: LiveConfig,
        router: RouterHandle,
        metrics: Metrics,
        upstream: Upstream,
        draining: CancellationToken,
        ending: CancellationToken,
        events: EventLog,
    ) -> Self {
        let ledger = Arc::new(Ledger::new(router.clone(), metrics.clone(), events));
        Self(Arc::new(AppParts {
            config,
            router,
            metrics,
            upstream,
            draining,
            ending,
            machine: MachineWatch::new(MachineReader::new(Path::new("/"))),
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
    /// Brings the gauges of the metrics up to this moment, within 250 ms.
    pub(crate) async fn observe(&self) {
        let fraction = self.config.current().tuning.lmstudio.gpu_memory_fraction;
        self.machine.look(&self.metrics, fraction).await;
        self.metrics.update_view(&self.router.fresh_view());
        self.metrics.update_runtime();
    }
}

impl std::ops::Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
