//! The state that the layers, the handlers and the background tasks share.

mod live_feed;
mod spellings;

use std::{collections::HashMap, path::Path, sync::Arc, time::SystemTime};

use crucible_config::LiveConfig;
use crucible_documents::state::PrefillDoc;
use crucible_router::{
    handle::RouterHandle, machine::readings::MachineReader, predict, verify::evidence::Probes,
    view::View,
};
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    guard::OwnName,
    inspector::Inspector,
    ledger::{Ledger, LedgerSinks},
    metrics::{MachineWatch, Metrics},
    relay::prefill::Prefills,
    request::{ActiveRequest, ActiveRequests},
    upstream::Upstream,
};

pub(crate) use self::{live_feed::LiveFeed, spellings::EngineSpellings};

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
    /// The state as the open pages see it.
    pub(crate) live: LiveFeed,
    /// The requests that are kept for a person to read, while that is switched on.
    pub(crate) inspector: Inspector,
    /// The time at which the instance was started.
    pub(crate) started: SystemTime,
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
        sinks: LedgerSinks,
    ) -> Self {
        let ledger = Arc::new(Ledger::new(router.clone(), metrics.clone(), sinks));
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
            live: LiveFeed::default(),
            inspector: Inspector::default(),
            started: SystemTime::now(),
        }))
    }
}

impl AppState {
    /// Brings the gauges of the metrics up to this moment, within 250 ms.
    pub(crate) async fn observe(&self) {
        let fraction = self.config.current().tuning.lmstudio.gpu_memory_fraction;
        self.machine.look(&self.metrics, fraction).await;
        let view = self.router.fresh_view();
        self.metrics.update_view(&view);
        self.update_prompts(&view);
        self.update_retry_budgets(&view);
        self.metrics.update_runtime();
        let inspector = &self.inspector;
        self.metrics
            .update_inspector(inspector.is_on(), inspector.kept_bytes());
    }

    /// Shows how many requests to each engine may be sent a second time.
    fn update_retry_budgets(&self, view: &View) {
        for engine in &view.engines {
            if let Some(address) = self.router.engine_address(&engine.name) {
                let left = self.upstream.retries_left(&address);
                self.metrics.set_retry_budget(&engine.name, left);
            }
        }
    }
}

impl AppState {
    /// Returns how far the engine of a request has read its prompt at `now`; `None` where it reads none.
    pub(crate) fn prefill(active: &ActiveRequest, view: &View, now: Instant) -> Option<PrefillDoc> {
        active.note(|record| {
            let (engine, model) = (record.engine.as_deref()?, record.model.as_deref()?);
            let (rates, estimate) = (&view.measurements, record.prompt_tokens);
            let tokens = predict::prompt_tokens(rates, engine, model, estimate);
            record.prefill(tokens, now)
        })
    }

    /// Sets the gauges of the prompts that engines read at this moment.
    fn update_prompts(&self, view: &View) {
        let now = Instant::now();
        let mut reading: HashMap<Arc<str>, Vec<f64>> = HashMap::new();
        for active in self.active.all() {
            if let Some(prefill) = Self::prefill(&active, view, now)
                && let Some(engine) = active.note(|record| record.engine.clone())
            {
                let left = prefill.remaining_s.unwrap_or(0.0);
                reading.entry(engine).or_default().push(left);
            }
        }
        for engine in &view.engines {
            let left = reading.remove(&engine.name).unwrap_or_default();
            self.metrics.set_prompts(&engine.name, &left);
        }
    }
}

impl std::ops::Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
