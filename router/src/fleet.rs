//! The fleet: all engines, each with a loop that polls it, and the published snapshot of their
//! answers.
//!
//! An engine is polled every 5 s while it is up, sooner after a [`Fleet::poke`], and with a backoff
//! that begins at 0.5 s while it is down. Each change stores a new snapshot, and a watch channel
//! wakes its subscribers. Where no engine is configured, the fleet searches for engines (see
//! [`crate::discovery`]).

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crucible_config::checked::Config;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    client::ClientId,
    discovery::SearchAddress,
    engine::{self, Children, LoadConfig, ollama_recipe},
    event::EventObserver,
    health::{BreakerPass, ProbeResult, RequestOutcome},
    state_dir::StateDir,
    view::Cooldown,
};

mod ask;
mod devices;
mod engine_handle;
mod entry;
mod poll;
mod search;
mod shared;
mod status;

pub use self::{
    ask::PollOutcome,
    devices::{DeviceClaim, default_pool, resolve_devices},
    engine_handle::EngineHandle,
    poll::{POLL_BUDGET, POLL_EVERY},
    status::{EngineStatus, FleetView},
};
use self::{
    entry::EngineEntry,
    search::search_loop,
    shared::{EngineSearch, FleetShared, FleetState},
};

/// All engines and the tasks that poll them; cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<FleetShared>,
}

// === impl Fleet ===

impl Fleet {
    /// Starts to poll the configured engines, or to search for engines at `places` (usually those
    /// of [`discovery::places`](crate::discovery::places)) where none is configured. All tasks run
    /// on `tracker` and end with `cancel`.
    pub fn start(
        config: &Config,
        state: Arc<StateDir>,
        places: Vec<SearchAddress>,
        observer: Arc<dyn EventObserver>,
        tracker: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let children = Arc::new(Children::under(state, Path::new("/")));
        let (left, stop) = (Arc::clone(&children), cancel.clone());
        tracker.spawn(async move {
            // What is not ended yet is noticed by the next start.
            let _ = stop.run_until_cancelled(left.sweep_when_owned()).await;
        });
        #[cfg(target_os = "linux")]
        {
            let (children, stop) = (Arc::clone(&children), cancel.clone());
            tracker.spawn(async move { children.reap_orphans(stop).await });
        }
        let shared = Arc::new(FleetShared {
            state: Mutex::new(FleetState {
                config: Arc::new(config.clone()),
                client: engine::client(config.timeouts.connect),
                keep_alive: config.tuning.lmstudio.model_ttl,
                entries: Vec::new(),
                latched: HashSet::new(),
                search: None,
            }),
            view: ArcSwap::default(),
            changed: watch::Sender::new(0),
            observer,
            places,
            children,
            tracker,
            cancel,
        });
        let fleet = Self { shared };
        fleet.apply(config);
        fleet
    }

    /// Takes a new configuration. Engines whose settings did not change are not disturbed.
    pub fn apply(&self, config: &Config) {
        let mut state = self.shared.lock();
        state.config = Arc::new(config.clone());
        let keep_alive = config.tuning.lmstudio.model_ttl;
        state.client = engine::client(config.timeouts.connect);
        state.keep_alive = keep_alive;
        let mut old = std::mem::take(&mut state.entries);
        let searching = config.engines.is_empty();
        for wanted in &config.engines {
            let same = |e: &EngineEntry| {
                !e.handle.discovered
                    && e.handle.config == *wanted
                    && e.handle.keep_alive == keep_alive
                    && e.handle.load_config == LoadConfig::of(config, wanted)
                    && e.handle.recipe == ollama_recipe::of_a_child(config, wanted, Path::new("/"))
            };
            match old.iter().position(same) {
                Some(at) => state.entries.push(old.remove(at)),
                None => self.shared.add(&mut state, wanted.clone(), false),
            }
        }
        for entry in old {
            if searching && entry.handle.discovered {
                state.entries.push(entry);
            } else {
                entry.handle.stop.cancel();
            }
        }
        if !searching {
            if let Some(search) = state.search.take() {
                search.stop.cancel();
            }
        } else if state.search.is_none() {
            let stop = self.shared.cancel.child_token();
            let search = EngineSearch {
                stop: stop.clone(),
                done_once: false,
                wanted: Arc::default(),
                begun: Arc::default(),
                done: 0,
            };
            let (wanted, begun) = (Arc::clone(&search.wanted), Arc::clone(&search.begun));
            state.search = Some(search);
            let task = search_loop(Arc::clone(&self.shared), stop, wanted, begun);
            self.shared.tracker.spawn(task);
        }
        self.shared.publish(&mut state);
    }

    /// The snapshot that was published last.
    pub fn view(&self) -> Arc<FleetView> {
        self.shared.view.load_full()
    }

    /// A receiver that changes with every snapshot.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Waits until every engine has answered or failed once.
    pub async fn settled(&self) {
        let mut changed = self.subscribe();
        while !self.view().settled {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The engine of that name.
    pub fn handle(&self, name: &str) -> Option<Arc<EngineHandle>> {
        let state = self.shared.lock();
        let entry = state.entries.iter().find(|e| &*e.config.name == name)?;
        Some(Arc::clone(&entry.handle))
    }

    /// Polls an engine now, after a load or an unload changed its residents.
    pub fn poke(&self, name: &str) {
        if let Some(handle) = self.handle(name) {
            handle.poke.notify_one();
        }
    }

    /// Asks the engine's circuit breaker for a pass for one request of that client; `None` where
    /// there is no such engine. While the breaker is half open, the first request that asks becomes
    /// the probe and must [`report`](Self::report) its outcome.
    pub fn try_pass(&self, name: &str, client: &ClientId) -> Option<Result<BreakerPass, Cooldown>> {
        let mut state = self.shared.lock();
        let entry = state.entries.iter_mut().find(|e| &*e.config.name == name)?;
        Some(entry.breaker.try_pass(client, Instant::now()))
    }

    /// Reports the outcome of a request of that client to an engine. `began` says whether the
    /// beginning of its answer was reported before. Where this returns a number, the caller must
    /// probe the engine itself and report the result as [`found`](Self::found) under that number.
    pub fn report(
        &self,
        name: &str,
        (client, pass): (&ClientId, BreakerPass),
        outcome: RequestOutcome,
        began: bool,
    ) -> Option<u64> {
        let now = Instant::now();
        let asks = self.shared.judge(name, now, |entry| {
            entry.hear(outcome, began, now);
            let breaker = entry.breaker.report(client, pass, outcome, now);
            entry
                .silence
                .note_request(client, outcome, entry.pulse.health());
            if breaker || (outcome == RequestOutcome::Silent && entry.silence.is_suspected()) {
                entry.breaker.begin_own_probe(now)
            } else {
                None
            }
        });
        if outcome == RequestOutcome::ConnectFailed {
            self.poke(name);
        }
        asks.flatten()
    }

    /// Whether an engine may be silent because it works for other requests: it sends an answer, or
    /// `others` wait for theirs and it was heard within the `longest` time that they may wait.
    pub fn may_be_working(&self, name: &str, others: bool, longest: Duration) -> bool {
        let state = self.shared.lock();
        let entry = state.entries.iter().find(|e| &*e.config.name == name);
        entry.is_some_and(|e| e.answering > 0 || (others && e.heard.elapsed() < longest))
    }

    /// Reports the result of Crucible's own probe of an engine, under the number that
    /// [`report`](Self::report) gave.
    pub fn found(&self, name: &str, number: u64, found: ProbeResult) {
        let now = Instant::now();
        self.shared.judge(name, now, |entry| {
            entry.breaker.end_own_probe(number, found, now);
            entry.silence.note_probe(found);
        });
    }
}

#[cfg(test)]
mod tests;
