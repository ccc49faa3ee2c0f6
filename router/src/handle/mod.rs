//! The handle that the proxy calls: plan, acquire, report.
//!
//! [`RouterHandle::start`] starts the pollers and the scheduler; every request then goes through
//! [`plan`](RouterHandle::plan) and [`acquire`](RouterHandle::acquire), and what it learned comes back
//! through the permit. Each file below adds the calls of one purpose.

mod acquire;
mod budget;
mod conflicts;
mod context;
mod differing_options;
pub(crate) mod facts;
mod fleet_engines;
mod learning;
mod own_probe;
pub(crate) mod permit_request;
mod plan_asking;
mod recheck;
mod source;
mod stand_ins;
mod start;
#[cfg(test)]
pub(crate) mod testing;
mod waits;
mod warm_up;
mod work;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crucible_config::checked::Config;
use governor::clock::DefaultClock;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::stand_ins::StandIns;
pub use self::{context::ContextGiven, recheck::Whereabouts, source::ConfigSource, waits::Standby};
use crate::{
    catalog::Capabilities,
    daily_tokens::DailyTokens,
    demand::Demand,
    fleet::{Fleet, FleetView, PollOutcome},
    limits::KeyLimits,
    measurements::MeasurementStore,
    plan::{
        self, Candidate, Plan,
        sticky::{ConversationTurn, StickyTable},
    },
    refusal::Refusal,
    scheduler::SchedulerActor,
    transport::EngineAddress,
    verify::{
        evidence::{Counters, Evidence, Probes},
        gather,
    },
    view::{BreakerState, View},
};

/// The time for the answers of engines that are asked again. With what [`gather`] asks itself, that is 2 s.
const ASK_BUDGET: Duration = Duration::from_millis(1500);

/// The router as a value: it decides which engine answers a request, and when. Cheap to clone.
#[derive(Clone)]
pub struct RouterHandle(Arc<RouterState>);

/// Everything that the clones of one handle share.
struct RouterState {
    config: ConfigSource,
    fleet: Fleet,
    limits: KeyLimits<DefaultClock>,
    daily_tokens: DailyTokens,
    sticky: Mutex<StickyTable>,
    stand_ins: StandIns,
    predictor: Arc<MeasurementStore>,
    scheduler: Arc<SchedulerActor>,
    board: Arc<ArcSwap<View>>,
    tickets: AtomicU64,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

// === impl RouterHandle ===

impl RouterHandle {
    /// Returns the last published view of the engines, which is at most 20 ms old. Cheap.
    pub fn view(&self) -> Arc<View> {
        self.0.board.load_full().at(Instant::now)
    }

    /// Waits until the first poll of every engine is done.
    pub async fn settled(&self) {
        if self.view().settled {
            return;
        }
        self.0.fleet.settled().await;
        self.fresh_view();
    }

    /// Plans where a request may go: its candidates in order, or the reason why there are none.
    pub fn plan(&self, demand: &Demand) -> Result<Plan, Refusal> {
        let place = ConversationTurn::of(demand)
            .and_then(|turn| self.0.sticky.lock().find(turn, Instant::now()));
        plan::plan(&self.view(), demand, &(self.0.config)(), place.as_ref())
    }

    /// Remembers which candidate answered a conversation, so that its next turn goes there too.
    pub fn stick(&self, demand: &Demand, candidate: &Candidate) {
        let Some(turn) = ConversationTurn::of(demand) else {
            return;
        };
        let place = (candidate.engine.clone(), candidate.model.clone());
        self.0
            .sticky
            .lock()
            .stick(turn, place, candidate.reason, Instant::now());
    }

    /// The rate limits of the client keys.
    pub fn limits(&self) -> &KeyLimits<DefaultClock> {
        &self.0.limits
    }

    /// The tokens that the client keys have used today.
    pub fn daily_tokens(&self) -> &DailyTokens {
        &self.0.daily_tokens
    }

    /// The configuration of the engine with that name, whether it was configured or found.
    pub fn engine_config(&self, name: &str) -> Option<Arc<crucible_config::checked::EngineConfig>> {
        let fleet = self.0.fleet.view();
        let status = fleet.engines.iter().find(|e| &*e.config.name == name)?;
        Some(Arc::clone(&status.config))
    }

    /// The address of the engine with that name; `None` while a spawned one is down.
    pub fn engine_address(&self, name: &str) -> Option<EngineAddress> {
        self.0.fleet.handle(name)?.control.address()
    }

    /// Reports whether a candidate's model runs on MLX, which has no repetition penalties.
    pub fn is_mlx(&self, candidate: &Candidate) -> bool {
        let fleet = self.0.fleet.view();
        fleet
            .engines
            .iter()
            .find(|e| e.config.name == candidate.engine)
            .and_then(|e| e.models.iter().find(|m| m.id == candidate.model))
            .is_some_and(|m| m.format.as_deref() == Some("mlx"))
    }

    /// The capabilities of the candidate's model, as far as its engine reports them.
    pub fn capabilities(&self, candidate: &Candidate) -> Capabilities {
        let view = self.0.fleet.view();
        let mut engines = view.engines.iter();
        let engine = engines.find(|e| e.config.name == candidate.engine);
        engine
            .and_then(|e| e.models.iter().find(|m| m.id == candidate.model))
            .map(|model| model.capabilities)
            .unwrap_or_default()
    }

    /// The models that `GET /v1/models` lists.
    pub fn listing(&self) -> Vec<plan::Listed> {
        plan::listing(&self.view(), &(self.0.config)())
    }

    /// Makes and publishes a view of this moment.
    pub fn fresh_view(&self) -> Arc<View> {
        self.0.scheduler.publish_now()
    }

    /// Polls one engine soon, without waiting for the answer.
    pub fn poke(&self, engine: &str) {
        self.0.fleet.poke(engine);
    }

    /// Polls every engine now and waits for the answers, at most 1.5 s.
    pub async fn ask_again(&self) {
        let fleet = &self.0.fleet;
        let before = fleet.view();
        let mut changed = fleet.subscribe();
        for engine in &before.engines {
            fleet.poke(&engine.config.name);
        }
        let newer = |now: &FleetView| {
            before.engines.iter().all(|old| {
                let mut engines = now.engines.iter();
                let same = engines.find(|e| e.config.name == old.config.name);
                same.is_none_or(|e| e.polls > old.polls)
            })
        };
        let asking = async { while !newer(&fleet.view()) && changed.changed().await.is_ok() {} };
        // An engine that does not answer by then shows as it was.
        let _ = timeout(ASK_BUDGET, asking).await;
    }

    /// Polls one engine now and waits for the answer, at most `budget`; only a poll that begins after
    /// this call counts. Its answer is in the view, and permits go by it.
    pub async fn poll_now(&self, engine: &str, budget: Duration) -> PollOutcome {
        let polled = self.0.fleet.poll_now(engine, budget).await;
        self.fresh_view();
        polled
    }

    /// Gathers what the settings are checked against. `root` is the root of the file
    /// system, `counters` are the running instance's.
    pub async fn evidence(
        &self,
        root: &Path,
        config: Arc<Config>,
        counters: Option<Counters>,
        probes: Probes,
    ) -> Evidence {
        let view = self.fresh_view();
        gather::gather(root, config, view, counters, probes).await
    }
}

// === impl RouterState ===

impl RouterState {
    /// Reports whether the engine's breaker is open or half-open.
    fn breaks(&self, engine: &str) -> bool {
        let fleet = self.fleet.view();
        let found = fleet.engines.iter().find(|e| *e.config.name == *engine);
        found.is_some_and(|e| e.breaker != BreakerState::Closed)
    }
}

#[cfg(test)]
mod tests;
