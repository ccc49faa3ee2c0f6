//! The engines that are there: one poll loop each, and the published snapshot of what they told.
//!
//! A poll is every 5 s while an engine is up, sooner after a [`Fleet::poke`], and backs off from
//! 0.5 s while it is down. The snapshot is one [`ArcSwap`] store per change; subscribers are told
//! by a watch channel. Without configured engines it looks for them (see [`crate::discovery`]).

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

use crate::{
    client::ClientId,
    discovery::{self, Place},
    engine::{
        self, Children, Engine, EngineError, Listing, LoadConfig,
        ollama_recipe::{self, OllamaRecipe},
    },
    event::{Event, Observer},
    health::{BreakerPass, ProbeResult, RequestOutcome},
    state_dir::StateDir,
    view::{Cooldown, Health},
};

mod ask;
mod devices;
mod entry;
mod poll;
mod status;

pub use self::{
    ask::Polled,
    devices::{DeviceClaim, default_pool, resolve_devices},
    status::{EngineStatus, FleetView},
};
use self::{
    entry::Entry,
    poll::{look_around, poll_loop},
};

/// Between polls of an engine that is up.
pub const POLL_EVERY: Duration = Duration::from_secs(5);
/// For one poll.
pub const POLL_BUDGET: Duration = Duration::from_secs(2);
/// First wait after a failed poll; doubles to [`POLL_EVERY`].
const RETRY_MIN: Duration = Duration::from_millis(500);

/// All engines; cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

/// One engine with its control side.
pub struct EngineHandle {
    /// As configured, or made from a find.
    pub config: checked::Engine,
    /// Its control side.
    pub control: Arc<dyn Engine>,
    /// Found on a default port.
    pub discovered: bool,
    keep_alive: Duration,
    /// The environment of an Ollama that is a child.
    recipe: Option<OllamaRecipe>,
    /// What LM Studio's WebSocket driver loads with.
    load_config: Option<LoadConfig>,
    poke: Notify,
    /// A request found it other than it was known to be.
    doubted: Notify,
    /// Somebody misses a model: the next poll is to look for new ones.
    anew: AtomicBool,
    /// Polls that have begun so far.
    begun: AtomicU64,
    stop: CancellationToken,
}

struct Shared {
    state: Mutex<State>,
    view: ArcSwap<FleetView>,
    changed: watch::Sender<u64>,
    observer: Arc<dyn Observer>,
    places: Vec<Place>,
    /// Engines that are children of Crucible.
    children: Arc<Children>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

struct State {
    /// What a find takes its values from.
    config: Arc<Config>,
    client: engine::Client,
    keep_alive: Duration,
    entries: Vec<Entry>,
    /// Engines that left the GPU to another; for the rest of the process.
    latched: HashSet<Arc<str>>,
    search: Option<Search>,
}

struct Search {
    stop: CancellationToken,
    done_once: bool,
    /// Somebody asks for what may be found now.
    wanted: Arc<Notify>,
    /// Looks that have begun, and that are done.
    begun: Arc<AtomicU64>,
    done: u64,
}

// === impl Fleet ===

impl Fleet {
    /// Starts polling the configured engines, or looking for some at `places` (usually
    /// [`discovery::places`] of `/`). All tasks run on `tracker` and end with `cancel`.
    pub fn start(
        config: &Config,
        state: Arc<StateDir>,
        places: Vec<Place>,
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
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
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
            let same = |e: &Entry| {
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
            let search = Search {
                stop: stop.clone(),
                done_once: false,
                wanted: Arc::default(),
                begun: Arc::default(),
                done: 0,
            };
            let (wanted, begun) = (Arc::clone(&search.wanted), Arc::clone(&search.begun));
            state.search = Some(search);
            let task = look_around(Arc::clone(&self.shared), stop, wanted, begun);
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

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes what is thought of an engine's data path, and tells what that changed.
    fn judge<T>(&self, name: &str, now: Instant, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut state = self.lock();
        let entry = state.entries.iter_mut().find(|e| &*e.config.name == name)?;
        let before = (entry.breaker.state(now), entry.breaker.cooldown(now));
        let wedged = entry.silence.is_wedged();
        let said = act(entry);
        let after = (entry.breaker.state(now), entry.breaker.cooldown(now));
        let turned = entry.silence.is_wedged() != wedged;
        if turned && !wedged {
            tracing::error!(
                engine = name,
                "takes requests and answers none, though its polls are well: restart it"
            );
            let engine = Arc::clone(&entry.config.name);
            self.observer.observe(&Event::Wedged { engine });
        }
        if before.0 != after.0 {
            let (before, after) = (before.0, after.0);
            tracing::info!(engine = name, ?before, ?after, "circuit breaker");
        }
        if before != after || turned {
            self.publish(&mut state);
        }
        Some(said)
    }

    /// Adds an engine and starts its poll loop.
    fn add(self: &Arc<Self>, state: &mut State, config: checked::Engine, discovered: bool) {
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
        state.entries.push(Entry::new(Arc::clone(&handle), config));
        self.tracker.spawn(poll_loop(Arc::clone(self), handle));
    }

    /// Takes the result of a poll; gives the wait before the next.
    fn record(&self, handle: &Arc<EngineHandle>, result: Result<Listing, EngineError>) -> Duration {
        let name = &handle.config.name;
        self.observer.observe(&Event::HealthCheck {
            engine: Arc::clone(name),
            ok: result.is_ok(),
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

    fn publish(&self, state: &mut State) {
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

    /// The places where an engine may still be: one of each kind is enough (a Windows host that
    /// shares its loopback with WSL would show up twice).
    fn unfound(&self) -> (engine::Client, Vec<Place>) {
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

    /// Takes the answers of one look around.
    fn found(self: &Arc<Self>, places: &[Place], answers: &[Option<EngineKind>]) {
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

/// Between polls of an engine that is up: rows 18 and 19, where they ask for more.
fn heartbeat(config: &Config) -> Duration {
    let tuning = &config.tuning.lmstudio;
    if tuning.keep_alive_enabled {
        POLL_EVERY.min(tuning.keep_alive_interval)
    } else {
        POLL_EVERY
    }
}

#[cfg(test)]
mod tests;
