//! The start of the router and its end.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwap;
use crucible_config::checked::{Manage, OnExit};
use futures_util::future::join_all;
use governor::clock::DefaultClock;
use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ConfigSource, RouterHandle, RouterState, fleet_engines::FleetEngines, stand_ins::StandIns,
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    daily_tokens::DailyTokens,
    discovery::SearchAddress,
    event::EventObserver,
    fleet::Fleet,
    limits::KeyLimits,
    measurements::MeasurementStore,
    scheduler::{ResidentStore, SchedulerActor},
    state_dir::StateDir,
    view::View,
};

/// The time for all unloads at the end of Crucible.
const SHUTDOWN_BUDGET: Duration = Duration::from_secs(5);
/// The time for the ends of all children: 5 s until they are killed, and their last lines.
const CHILDREN_BUDGET: Duration = Duration::from_secs(7);

// === impl RouterHandle ===

impl RouterHandle {
    /// Starts the pollers and the scheduler. What an earlier run left in `state` is taken over as soon
    /// as that folder is ours.
    pub fn start(
        config: ConfigSource,
        state: Arc<StateDir>,
        changed: watch::Receiver<u64>,
        places: Vec<SearchAddress>,
        observer: Arc<dyn EventObserver>,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let now = config();
        let fleet = Fleet::start(
            &now,
            Arc::clone(&state),
            places,
            Arc::clone(&observer),
            tracker.clone(),
            cancel.clone(),
        );
        let predictor = Arc::new(MeasurementStore::default());
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
        tracker.spawn(take_over(state, cancel.clone()));
        let limits = KeyLimits::new(DefaultClock::default());
        limits.apply(&now);
        let router = Self(Arc::new(RouterState {
            config,
            fleet,
            limits,
            daily_tokens: DailyTokens::of_this_machine(&now.keys),
            sticky: Mutex::default(),
            stand_ins: StandIns::default(),
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
        tracker.spawn(router.clone().follow_reloads(changed, cancel));
        router
    }

    /// Applies each reloaded configuration to the engines and the limits of keys, until the end.
    async fn follow_reloads(self, mut changed: watch::Receiver<u64>, cancel: CancellationToken) {
        while let Some(Ok(())) = cancel.run_until_cancelled(changed.changed()).await {
            let config = (self.0.config)();
            self.0.fleet.apply(&config);
            self.0.limits.apply(&config);
        }
    }

    /// Refuses further requests, unloads what Crucible loaded where `on_exit` says so, for at most 5 s, and
    /// stops the children, for at most 7 s more.
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

/// Takes the folder of state over when the instance that owns it has ended.
async fn take_over(state: Arc<StateDir>, cancel: CancellationToken) {
    let _ = cancel
        .run_until_cancelled(state.take_over_when_free())
        .await;
}

/// Names no instance, since a spawned engine has only one.
fn nothing() -> ResidentInfo {
    ResidentInfo::named(Arc::from(""), ModelKind::Generation)
}
