//! The state of all engines that the poll loops and the requests share.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crucible_config::checked::{self, Config, Device, EngineKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    devices::{DeviceClaim, resolve_devices},
    engine_handle::EngineHandle,
    entry::EngineEntry,
    poll::{POLL_EVERY, RETRY_MIN, poll_loop},
    status::FleetView,
};
use crate::{
    discovery::{self, SearchAddress},
    engine::{self, Children, EngineError, Listing, LoadConfig, ollama_recipe},
    event::{Event, EventObserver},
    view::Health,
};

/// The state of all engines, shared by their poll loops, the search for engines and the requests.
pub(super) struct FleetShared {
    /// The mutable state, which is locked for moments only and never across an await.
    pub(super) state: Mutex<FleetState>,
    /// The snapshot that readers get, replaced by [`Self::publish`].
    pub(super) view: ArcSwap<FleetView>,
    /// The number of published snapshots, by which receivers notice a new one.
    pub(super) changed: watch::Sender<u64>,
    /// The receiver of events such as the result of each poll.
    pub(super) observer: Arc<dyn EventObserver>,
    /// The addresses at which a search for engines asks.
    pub(super) places: Vec<SearchAddress>,
    /// The record of the engines that are children of Crucible.
    pub(super) children: Arc<Children>,
    /// The tasks of polls and searches, which the end of Crucible waits for.
    pub(super) tracker: TaskTracker,
    /// The token that ends all polls and searches when Crucible ends.
    pub(super) cancel: CancellationToken,
}

/// The part of [`FleetShared`] that changes: the configuration in force and the engines with their
/// entries.
pub(super) struct FleetState {
    /// The configuration in force, from which a found engine takes its values.
    pub(super) config: Arc<Config>,
    /// The HTTP client that engines added from now on are polled with.
    pub(super) client: engine::Client,
    /// The idle time after which LM Studio unloads a model (`tuning.lmstudio.model_ttl`).
    pub(super) keep_alive: Duration,
    /// The engines, in configured order, then the discovered ones in the order in which they were
    /// found.
    pub(super) entries: Vec<EngineEntry>,
    /// The engines that left the GPU to another one, which holds until the process ends.
    pub(super) latched: HashSet<Arc<str>>,
    /// The running search for engines; `None` where the configuration names engines.
    pub(super) search: Option<EngineSearch>,
}

/// The running search for engines on their default ports, which lasts as long as the configuration
/// names no engine.
pub(super) struct EngineSearch {
    /// The token that ends the search, once engines are configured.
    pub(super) stop: CancellationToken,
    /// Whether every address was tried once, so that a missing engine is known to be missing.
    pub(super) done_once: bool,
    /// Wakes the search before its time.
    pub(super) wanted: Arc<Notify>,
    /// The number of searches that have begun.
    pub(super) begun: Arc<AtomicU64>,
    /// The number of searches that have ended.
    pub(super) done: u64,
}

// === impl FleetShared ===

impl FleetShared {
    /// Locks the mutable state. The guard must not be held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, FleetState> {
        self.state.lock()
    }

    /// Applies `act` to the entry of the engine `name` and returns its result; `None` where there
    /// is no such engine. A change of its circuit breaker or wedge detector is logged, and
    /// published with a new snapshot.
    pub(super) fn judge<T>(
        &self,
        name: &str,
        now: Instant,
        act: impl FnOnce(&mut EngineEntry) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let entry = state.entries.iter_mut().find(|e| &*e.config.name == name)?;
        let before = (entry.breaker.state(now), entry.breaker.cooldown(now));
        let wedged = entry.silence.is_wedged();
        let said = act(entry);
        let after = (entry.breaker.state(now), entry.breaker.cooldown(now));
        let turned = entry.silence.is_wedged() != wedged;
        // Published first, so that whoever reads of it in the log finds it in the state.
        if before != after || turned {
            self.publish(&mut state);
        }
        if turned && !wedged {
            tracing::error!(
                engine = name,
                "takes requests and answers none, though its polls are well: restart it"
            );
            let engine = Arc::from(name);
            self.observer.observe(&Event::Wedged { engine });
        }
        if before.0 != after.0 {
            let (before, after) = (before.0, after.0);
            tracing::info!(engine = name, ?before, ?after, "circuit breaker");
        }
        Some(said)
    }

    /// Adds an engine and starts its poll loop.
    pub(super) fn add(
        self: &Arc<Self>,
        state: &mut FleetState,
        config: checked::EngineConfig,
        discovered: bool,
    ) {
        let token = engine::token_of(&config);
        let recipe = ollama_recipe::of_a_child(&state.config, &config, Path::new("/"));
        let load_config = LoadConfig::of(&state.config, &config);
        let control = engine::build(
            &state.client,
            &config,
            token.as_deref(),
            state.keep_alive,
            recipe.clone(),
            load_config.clone(),
            &self.children,
        );
        let Some(control) = control else {
            tracing::warn!(
                engine = &*config.name,
                "has neither an address nor a model file"
            );
            return;
        };
        let handle = Arc::new(EngineHandle {
            config: config.clone(),
            control,
            discovered,
            keep_alive: state.keep_alive,
            recipe,
            load_config,
            poke: Notify::new(),
            doubted: Notify::new(),
            anew: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            stop: self.cancel.child_token(),
        });
        state
            .entries
            .push(EngineEntry::new(Arc::clone(&handle), config));
        let shared = Arc::clone(self);
        self.tracker.spawn(poll_loop(handle, move |handle, answer| {
            shared.record(handle, answer)
        }));
    }

    /// Takes the result of a poll and returns the time to wait before the next one.
    fn record(&self, handle: &Arc<EngineHandle>, result: Result<Listing, EngineError>) -> Duration {
        let name = &handle.config.name;
        self.observer.observe(&Event::HealthCheck {
            engine: Arc::clone(name),
            ok: result.is_ok(),
            lists_residents: handle.config.kind.profile().residents.listed,
        });
        let mut state = self.lock();
        let Some(entry) = state
            .entries
            .iter_mut()
            .find(|e| Arc::ptr_eq(&e.handle, handle))
        else {
            return POLL_EVERY;
        };
        entry.take(result);
        let pulse = entry.pulse;
        self.publish(&mut state);
        match pulse.failures() {
            0 if pulse.health() == Health::Up => heartbeat(&state.config),
            0 => RETRY_MIN,
            n => RETRY_MIN
                .saturating_mul(1 << (n - 1).min(5))
                .min(POLL_EVERY),
        }
    }

    /// Resolves the device of each engine and replaces the snapshot that readers get. An engine
    /// with `device = "auto"` whose GPU another engine owns moves to the CPU until Crucible ends.
    pub(super) fn publish(&self, state: &mut FleetState) {
        let claims: Vec<_> = state
            .entries
            .iter()
            .map(|e| DeviceClaim {
                device: e.config.device,
                latched: state.latched.contains(&e.config.name),
            })
            .collect();
        let devices = resolve_devices(&claims);
        let now = Instant::now();
        let mut engines = Vec::with_capacity(devices.len());
        for (entry, device) in state.entries.iter().zip(devices) {
            let auto = entry.config.device == Device::Auto;
            if auto && device == Device::Cpu && state.latched.insert(Arc::clone(&entry.config.name))
            {
                tracing::info!(
                    engine = &*entry.config.name,
                    "another engine owns the GPU: the next loads go to the CPU"
                );
            }
            engines.push(entry.status(device, now));
        }
        let searched = state.search.as_ref().is_none_or(|s| s.done_once);
        let view = FleetView {
            settled: searched && state.entries.iter().all(|e| e.polls > 0),
            looks: state.search.as_ref().map_or(0, |s| s.done),
            looked_at: match state.search {
                Some(_) => self.places.clone(),
                None => Vec::new(),
            },
            engines,
        };
        self.view.store(Arc::new(view));
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The search addresses of the kinds of engine that were not found yet. One engine of each kind
    /// is enough: a Windows host that shares its loopback with WSL would be found twice.
    pub(super) fn unfound(&self) -> (engine::Client, Vec<SearchAddress>) {
        let state = self.lock();
        let found = |kind: EngineKind| state.entries.iter().any(|e| e.config.kind == kind);
        let places = self
            .places
            .iter()
            .filter(|p| !found(p.kind))
            .cloned()
            .collect();
        (state.client.clone(), places)
    }

    /// Takes the answers of one search.
    pub(super) fn found(
        self: &Arc<Self>,
        places: &[SearchAddress],
        answers: &[Option<EngineKind>],
    ) {
        let mut state = self.lock();
        // The configuration may have named engines meanwhile.
        let Some(search) = &mut state.search else {
            return;
        };
        let first = !std::mem::replace(&mut search.done_once, true);
        search.done += 1;
        for (place, kind) in places.iter().zip(answers) {
            let Some(kind) = *kind else { continue };
            if state.entries.iter().any(|e| e.config.kind == kind) {
                continue;
            }
            tracing::info!("found {} on {}", kind.profile().product, place.url);
            let config = discovery::discovered(&state.config, kind, place.url.clone());
            self.add(&mut state, config, true);
        }
        if first && state.entries.is_empty() {
            tracing::warn!("no engine found; {}", discovery::describe(&self.places));
        }
        self.publish(&mut state);
    }
}

/// The time between polls of an engine that is up: [`POLL_EVERY`], or
/// `tuning.lmstudio.keep_alive_interval` where that is shorter and `keep_alive_enabled`.
fn heartbeat(config: &Config) -> Duration {
    let tuning = &config.tuning.lmstudio;
    if tuning.keep_alive_enabled {
        POLL_EVERY.min(tuning.keep_alive_interval)
    } else {
        POLL_EVERY
    }
}
