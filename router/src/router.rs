//! The facade that the proxy calls: plan, acquire, report.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crucible_config::checked::{Config, Manage, OnExit};
use futures_util::future::join_all;
use governor::clock::DefaultClock;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::attempt::Attempt;
use self::engines::{FleetEngines, nothing, permit_request};
use crate::{
    catalog::Capabilities,
    demand::Demand,
    event::{LoadTrigger, Observer},
    fleet::{Fleet, FleetView, Polled},
    health::Pass,
    limits::KeyLimits,
    permit::{Note, Permit, Releases},
    plan::{
        self, Candidate, Plan,
        sticky::{StickyTable, Turn},
    },
    predict::Predictor,
    refusal::Refusal,
    scheduler::{PermitAnswer, PermitRequest, ResidentStore, SchedulerActor},
    state_dir::StateDir,
    verify::{
        evidence::{Counters, Evidence, Probes},
        gather,
    },
    view::{Breaker, LeftAlone, View},
};

mod attempt;
mod budget;
mod context;
pub(crate) mod engines;
mod learning;
mod own_probe;
mod pinned;
mod recheck;
pub(crate) mod shared;
mod unlisted;
mod waits;
pub(crate) mod warm;
mod work;

pub use context::ContextGiven;
pub use recheck::Whereabouts;
pub use waits::Standby;

/// For all unloads at the end of Crucible.
const SHUTDOWN_BUDGET: Duration = Duration::from_secs(5);
/// For the ends of all children: 5 s until they are killed, and their last lines.
const CHILDREN_BUDGET: Duration = Duration::from_secs(7);

/// For answers of engines that are asked again; with what [`gather`] asks itself, 2 s together.
const ASK_BUDGET: Duration = Duration::from_millis(1500);

/// Reads the configuration in force.
pub type Source = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Who runs where; cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    config: Source,
    fleet: Fleet,
    limits: KeyLimits<DefaultClock>,
    sticky: Mutex<StickyTable>,
    stood_in: unlisted::StoodIn,
    predictor: Arc<Predictor>,
    scheduler: Arc<SchedulerActor>,
    board: Arc<ArcSwap<View>>,
    tickets: AtomicU64,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

/// Takes a waiting request back when its future is dropped.
struct CancelOnDrop {
    releases: Arc<Releases>,
    ticket: Option<u64>,
}

// === impl CancelOnDrop ===

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.releases.push(Note::Cancelled(ticket));
        }
    }
}

// === impl Router ===

impl Router {
    /// Starts the pollers and the scheduler. What an earlier run left in `state` is taken over as soon
    /// as that is ours.
    pub fn start(
        config: Source,
        state: Arc<StateDir>,
        mut changed: watch::Receiver<u64>,
        places: Vec<crate::discovery::Place>,
        observer: Arc<dyn Observer>,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let now = config();
        let fleet = Fleet::start(
            &now,
            Arc::clone(&state),
            places,
            Arc::clone(&observer),
            tracker.clone(),
            cancel.clone(),
        )?;
        let predictor = Arc::new(Predictor::default());
        let engines = Arc::new(FleetEngines::new(
            fleet.clone(),
            config.clone(),
            Arc::clone(&predictor),
            observer,
            Arc::clone(&state),
        ));
        let board = Arc::new(ArcSwap::from_pointee(View::default()));
        let scheduler = SchedulerActor::new(
            engines,
            Arc::clone(&board),
            tracker.clone(),
            cancel.clone(),
            ResidentStore::new(Arc::clone(&state)),
        );
        tracker.spawn(Arc::clone(&scheduler).run_clock());
        let (heir, stop) = (state, cancel.clone());
        tracker.spawn(async move {
            let _ = stop.run_until_cancelled(heir.succeed()).await;
        });
        let limits = KeyLimits::new(DefaultClock::default());
        limits.apply(&now);
        let router = Self(Arc::new(Inner {
            config,
            fleet,
            limits,
            sticky: Mutex::default(),
            stood_in: unlisted::StoodIn::default(),
            predictor,
            scheduler,
            board,
            tickets: AtomicU64::new(1),
            tracker: tracker.clone(),
            cancel: cancel.clone(),
        }));
        let (this, stop) = (router.clone(), cancel.clone());
        tracker.spawn(async move {
            // What is not warm by the end need not be.
            let _ = stop.run_until_cancelled(this.warm_up()).await;
        });
        let this = router.clone();
        tracker.spawn(async move {
            while let Some(Ok(())) = cancel.run_until_cancelled(changed.changed()).await {
                let config = (this.0.config)();
                this.0.fleet.apply(&config);
                this.0.limits.apply(&config);
            }
        });
        Ok(router)
    }

    /// What is known of the engines: the last published view, at most 20 ms behind. Cheap.
    pub fn view(&self) -> Arc<View> {
        self.0.board.load_full().at(Instant::now())
    }

    /// The first poll of every engine is done.
    pub async fn settled(&self) {
        if self.view().settled {
            return;
        }
        self.0.fleet.settled().await;
        self.fresh_view();
    }

    /// Where a request may go.
    pub fn plan(&self, demand: &Demand) -> Result<Plan, Refusal> {
        let place = Turn::of(demand).and_then(|turn| {
            self.0
                .sticky
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .find(turn, Instant::now())
        });
        plan::plan(&self.view(), demand, &(self.0.config)(), place.as_ref())
    }

    /// Remembers where a conversation was answered.
    pub fn stick(&self, demand: &Demand, candidate: &Candidate) {
        let Some(turn) = Turn::of(demand) else {
            return;
        };
        let place = (candidate.engine.clone(), candidate.model.clone());
        self.0
            .sticky
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stick(turn, place, candidate.reason, Instant::now());
    }

    /// Waits for the right to use a candidate; dropping the future cancels.
    pub async fn acquire(&self, candidate: &Candidate, demand: &Demand) -> Result<Permit, Refusal> {
        let wait = (self.0.config)().timeouts.queue;
        self.admit(candidate, demand, wait)?;
        self.wait_for(candidate, demand, LoadTrigger::Request, wait)
            .await
    }

    async fn wait_for(
        &self,
        candidate: &Candidate,
        demand: &Demand,
        trigger: LoadTrigger,
        wait: Duration,
    ) -> Result<Permit, Refusal> {
        let mut request = self.permit_request(candidate, demand)?;
        let mut attempt = self.pass(candidate, demand)?;
        request.trigger = trigger;
        let mut permit = self.queue(request, wait).await?;
        // The engine may have begun to be left alone meanwhile.
        if !attempt.probes() && self.0.breaks(&candidate.engine) {
            attempt = self.pass(candidate, demand)?;
        }
        permit.attempt = Some(attempt);
        Ok(permit)
    }

    /// What a request asks of the scheduler.
    fn permit_request(
        &self,
        candidate: &Candidate,
        demand: &Demand,
    ) -> Result<PermitRequest, Refusal> {
        let config = (self.0.config)();
        let fleet = self.0.fleet.view();
        let mut engines = fleet.engines.iter();
        let engine = engines.find(|e| e.config.name == candidate.engine);
        let engine = engine.ok_or_else(|| gone(candidate, demand))?;
        let learned = self.0.predictor.learned();
        Ok(permit_request(&config, engine, &learned, candidate, demand))
    }

    /// Leave to ask that engine now, unless it is left alone.
    fn pass(&self, candidate: &Candidate, demand: &Demand) -> Result<Attempt, Refusal> {
        let attempt = |pass| Attempt::new(self.clone(), candidate, demand.client.clone(), pass);
        if !self.0.breaks(&candidate.engine) {
            return Ok(attempt(Pass::Free));
        }
        match self.0.fleet.try_pass(&candidate.engine, &demand.client) {
            None => Err(gone(candidate, demand)),
            Some(Ok(pass)) => Ok(attempt(pass)),
            Some(Err(left_alone)) => Err(spared(candidate, demand, left_alone)),
        }
    }

    /// Stands in line for a permit; dropping the future cancels.
    async fn queue(&self, mut request: PermitRequest, wait: Duration) -> Result<Permit, Refusal> {
        let ticket = self.0.tickets.fetch_add(1, Ordering::Relaxed);
        request.ticket = ticket;
        request.deadline = tokio::time::Instant::now().into_std() + wait;
        let mut cancel = CancelOnDrop {
            releases: Arc::clone(self.0.scheduler.releases()),
            ticket: Some(ticket),
        };
        let answer = match self.0.scheduler.request_permit(request) {
            PermitAnswer::Now(answer) => answer,
            PermitAnswer::Later(answer) => answer.await.unwrap_or(Err(Refusal::Draining)),
        };
        cancel.ticket = None;
        answer
    }

    /// Rate limits.
    pub fn limits(&self) -> &KeyLimits<DefaultClock> {
        &self.0.limits
    }

    /// The engine of that name, as configured or found.
    pub fn engine_config(&self, name: &str) -> Option<Arc<crucible_config::checked::Engine>> {
        let fleet = self.0.fleet.view();
        let status = fleet.engines.iter().find(|e| &*e.config.name == name)?;
        Some(Arc::clone(&status.config))
    }

    /// Whether a candidate's model runs on MLX, which knows no penalties.
    pub fn is_mlx(&self, candidate: &Candidate) -> bool {
        let fleet = self.0.fleet.view();
        fleet
            .engines
            .iter()
            .find(|e| e.config.name == candidate.engine)
            .and_then(|e| e.models.iter().find(|m| m.id == candidate.model))
            .is_some_and(|m| m.format.as_deref() == Some("mlx"))
    }

    /// What the candidate's model is known to be able to do.
    pub fn capabilities(&self, candidate: &Candidate) -> Capabilities {
        let view = self.0.fleet.view();
        let mut engines = view.engines.iter();
        let engine = engines.find(|e| e.config.name == candidate.engine);
        engine
            .and_then(|e| e.models.iter().find(|m| m.id == candidate.model))
            .map(|model| model.capabilities)
            .unwrap_or_default()
    }

    /// What `GET /v1/models` lists.
    pub fn listing(&self) -> Vec<plan::Listed> {
        plan::listing(&self.view(), &(self.0.config)())
    }

    /// The exact view of this moment.
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
        // Who does not answer by then shows as it was.
        let _ = timeout(ASK_BUDGET, asking).await;
    }

    /// Polls one engine now and waits for the answer, at most `budget`; only a poll that begins after
    /// this call counts. What it told is in the view, and permits go by it.
    pub async fn poll_now(&self, engine: &str, budget: Duration) -> Polled {
        let polled = self.0.fleet.poll_now(engine, budget).await;
        self.fresh_view();
        polled
    }

    /// What the settings are checked against, as it is known now. `root` is the root of the file
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

    /// Refuses whoever still comes, releases what Crucible loaded as `on_exit` says, at most 5 s,
    /// and stops the children, at most 7 s more.
    pub async fn shutdown(&self) {
        let unload = (self.0.config)().on_exit == OnExit::Unload;
        // A scheduler that has ended has nothing left to do.
        let draining = self.0.scheduler.drain(unload);
        if timeout(SHUTDOWN_BUDGET, draining).await.is_err() {
            tracing::warn!("not everything could be unloaded in time");
        }
        // A child whose load was cut short is not resident, but there.
        let fleet = self.0.fleet.view();
        let spawned = fleet
            .engines
            .iter()
            .filter(|e| e.config.manage == Manage::Spawn);
        let stopping = spawned.map(|engine| async {
            let name = &*engine.config.name;
            if let Some(handle) = self.0.fleet.handle(name)
                && let Err(error) = handle.control.unload(&nothing()).await
            {
                tracing::warn!(engine = name, "the child was not stopped: {error}");
            }
        });
        if timeout(CHILDREN_BUDGET, join_all(stopping)).await.is_err() {
            tracing::warn!("not every child ended in time");
        }
    }
}

// === impl Inner ===

impl Inner {
    /// The engine's breaker is not closed.
    fn breaks(&self, engine: &str) -> bool {
        let fleet = self.fleet.view();
        let found = fleet.engines.iter().find(|e| *e.config.name == *engine);
        found.is_some_and(|e| e.breaker != Breaker::Closed)
    }
}

fn gone(candidate: &Candidate, demand: &Demand) -> Refusal {
    Refusal::NoEngine {
        model: demand.model.clone(),
        detail: format!("'{}' is no longer there", candidate.engine),
        retry_after: 5,
    }
}

fn spared(candidate: &Candidate, demand: &Demand, left_alone: LeftAlone) -> Refusal {
    let why = if left_alone.asked {
        "asked to be left alone for a while (429)"
    } else {
        "fails its requests and is left alone for a while"
    };
    Refusal::NoEngine {
        model: demand.model.clone(),
        detail: format!("'{}' {why}", candidate.engine),
        retry_after: left_alone.retry_after(),
    }
}

#[cfg(test)]
mod tests;
