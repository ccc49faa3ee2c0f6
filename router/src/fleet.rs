//! The engines that are there: one poll loop each, and the published snapshot of what they told.
//!
//! A poll is every 5 s while an engine is up, sooner after a [`Fleet::poke`], and backs off from
//! 0.5 s while it is down. The snapshot is one [`ArcSwap`] store per change; subscribers are told
//! by a watch channel. Without configured engines it looks for them (see [`crate::discovery`]).

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
    event::Observer,
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

/// All engines; cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<FleetShared>,
}

// === impl Fleet ===

impl Fleet {
    /// Starts polling the configured engines, or looking for some at `places` (usually
    /// [`discovery::places`] of `/`). All tasks run on `tracker` and end with `cancel`.
    pub fn start(
        config: &Config,
        state: Arc<StateDir>,
        places: Vec<SearchAddress>,
        observer: Arc<dyn Observer>,
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

    /// Takes a new configuration: engines that did not change go on undisturbed.
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

    /// The newest snapshot.
    pub fn view(&self) -> Arc<FleetView> {
        self.shared.view.load_full()
    }

    /// Changes with every snapshot.
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

    /// Polls an engine now: after a load or an unload.
    pub fn poke(&self, name: &str) {
        if let Some(handle) = self.handle(name) {
            handle.poke.notify_one();
        }
    }

    /// Whether a request of that client may be sent to an engine now. Half open, the first that asks
    /// becomes the probe and is to [`report`](Self::report) its outcome. `None`: there is no such
    /// engine.
    pub fn try_pass(&self, name: &str, client: &ClientId) -> Option<Result<BreakerPass, Cooldown>> {
        let mut state = self.shared.lock();
        let entry = state.entries.iter_mut().find(|e| &*e.config.name == name)?;
        Some(entry.breaker.try_pass(client, Instant::now()))
    }

    /// How a request of that client to an engine went; `began`: that its answer began was reported
    /// before. `Some`: Crucible is to ask the engine itself, and to give what it
    /// [`found`](Self::found) under this number.
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

    /// Whether an engine may be silent because it works for somebody else: it sends an answer, or
    /// others wait for theirs, and for no longer than they may.
    pub fn may_be_working(&self, name: &str, others: bool, longest: Duration) -> bool {
        let state = self.shared.lock();
        let entry = state.entries.iter().find(|e| &*e.config.name == name);
        entry.is_some_and(|e| e.answering > 0 || (others && e.heard.elapsed() < longest))
    }

    /// What Crucible found when it asked an engine itself.
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
