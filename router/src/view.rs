//! The published snapshot of engines, residents and waiting requests.
//!
//! Plans, lists, metrics and `/crucible/state` all read the same [`View`], which never changes once
//! it is published: whoever holds one decides by one consistent state.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::{Device, EngineKind};
use serde::{Deserialize, Serialize};

use crate::{
    catalog::{ModelInfo, ResidentInfo},
    client::ClientId,
    engine::LoadTuple,
    machine::MemoryLimit,
    measurements::Measurements,
};

/// The health of an engine, from its polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No poll has succeeded or failed yet.
    #[default]
    Unknown,
    /// The engine answers its polls.
    Up,
    /// Polls failed, but fewer in a row than make it down.
    Degraded,
    /// Too many polls failed in a row.
    Down,
}

/// The state of the circuit breaker that guards the requests to an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All requests pass.
    #[default]
    Closed,
    /// No request passes until the cooldown is over.
    Open,
    /// One request passes as a probe, whose outcome closes or opens the breaker.
    HalfOpen,
}

/// A time in which an engine gets no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// The end of that time.
    pub until: Instant,
    /// The time that remains until then.
    pub remaining: Duration,
    /// Whether the engine asked for it with a status of 429; else its requests failed.
    pub engine_asked: bool,
    /// The state of the breaker after that time.
    pub state_after: BreakerState,
}

/// One engine as plans, lists and metrics see it.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of an engine, not states"
)]
pub struct EngineView {
    /// The configured name of the engine.
    pub name: Arc<str>,
    /// The kind of the engine, and so its API.
    pub kind: EngineKind,
    /// The device that the engine computes on, resolved to `Gpu` or `Cpu`.
    pub device: Device,
    /// The name of the memory pool that the engine's models share with those of other engines.
    pub pool: Arc<str>,
    /// The address of the engine for people, without credentials; empty where it has none now.
    pub url: String,
    /// The health of the engine, from its polls.
    pub health: Health,
    /// The state of the engine's circuit breaker.
    pub breaker: BreakerState,
    /// The cooldown, while the breaker is open.
    pub left_alone: Option<Cooldown>,
    /// The error of the last poll, in words; `None` after one that succeeded.
    pub error: Option<String>,
    /// Whether that error is that the engine wants a token, or another one.
    pub refused_access: bool,
    /// The version of the engine, where it reports one.
    pub version: Option<String>,
    /// The features that the engine's version lacks, one sentence each.
    pub advice: Arc<Vec<String>>,
    /// The settings of this engine that cannot all be in effect.
    pub conflicts: Vec<Conflict>,
    /// Whether Crucible can load and unload models on the engine; else the engine loads by itself.
    pub load_control: bool,
    /// Whether the engine was found on a default port and not configured.
    pub discovered: bool,
    /// Whether a load never ended, or requests got no answer, while the engine answered its polls.
    pub wedged: bool,
    /// The bytes that the models of its pool may use together; `None` where that is unknown.
    pub budget: Option<u64>,
    /// The bytes that other programs use of this machine's graphics cards; `None` where the engine
    /// computes elsewhere or the cards do not report it.
    pub others: Option<u64>,
    /// The bytes that the engine's loaded models are counted with.
    pub used: u64,
    /// The most bytes that the models of its pool were counted with since Crucible's start.
    pub peak: u64,
    /// The most generation models that Crucible keeps loaded on the engine; `None` before the scheduler
    /// knows the engine.
    pub models_limit: Option<u32>,
    /// The time without a request after which a model that Crucible loaded is unloaded; `None` is
    /// never.
    pub ttl: Option<Duration>,
    /// The memory limit that the operating system enforces on the engine; `None` where Crucible did
    /// not start it.
    pub limit: Option<MemoryLimit>,
    /// The engine's models from its last list, which is kept while the engine is down.
    pub models: Arc<Vec<ModelInfo>>,
    /// The loaded models, each with the scheduler's account of it.
    pub residents: Vec<ResidentView>,
    /// The number of requests that one resident answers at once.
    pub permits: u32,
    /// The most requests that may wait for the engine.
    pub queue_limit: u32,
    /// The number of requests that wait for the engine now.
    pub queued: u32,
    /// The number of permits that are out on the engine now.
    pub active: u32,
    /// The load that is in progress on the engine.
    pub loading: Option<LoadingView>,
}

/// A conflict of settings that cannot all be in effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    /// The conflict, in words.
    pub found: String,
    /// The step that resolves it, in words.
    pub fix: String,
    /// Whether it concerns the memory of the engine's pool.
    pub of_memory: bool,
    /// Whether it concerns names over the same weights.
    pub of_weights: bool,
}

/// One loaded model with the scheduler's account of it.
#[derive(Clone, Debug)]
pub struct ResidentView {
    /// The facts that the engine reports of it.
    pub info: ResidentInfo,
    /// The options that Crucible loaded it with; `None` where Crucible did not load it.
    pub tuple: Option<LoadTuple>,
    /// The number of permits that are out on it now.
    pub active: u32,
    /// The time since its last permit was released.
    pub idle: Duration,
    /// Whether it is pinned and so never unloaded.
    pub pinned: bool,
    /// Whether Crucible loaded it.
    pub owned: bool,
}

/// A load that is in progress.
#[derive(Clone, Debug)]
pub struct LoadingView {
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The time since it began.
    pub since: Duration,
    /// The usual time of this load; `None` where none was measured.
    pub expected: Option<Duration>,
}

/// One request that waits for a permit.
#[derive(Clone, Debug)]
pub struct QueuedView {
    /// The id of the request.
    pub request_id: Arc<str>,
    /// The client that waits.
    pub client: ClientId,
    /// The engine that it waits for.
    pub engine: Arc<str>,
    /// The model that it waits for.
    pub model: Arc<str>,
    /// The position in the queue; 1 is next.
    pub position: u32,
    /// The time that it has waited.
    pub waiting: Duration,
    /// The reason of the wait: `slot`, `load` or `swap`.
    pub reason: &'static str,
}

/// The snapshot: all engines and all waiting requests at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// All engines, in configured order, then the discovered ones.
    pub engines: Vec<EngineView>,
    /// The requests that wait for a permit.
    pub queue: Vec<QueuedView>,
    /// Whether every engine has answered or failed once.
    pub settled: bool,
    /// Whether Crucible is going down and takes no further requests.
    pub draining: bool,
    /// Whether the state directory belongs to this Crucible and not to another one that runs.
    pub owns_state: bool,
    /// The measurements that predictions are made from.
    pub measurements: Arc<Measurements>,
}

impl View {
    /// The same view at a later moment: cooldowns that are over by `now` have ended, although no
    /// new view was published. The clock is read only where there is a cooldown.
    pub fn at(self: Arc<Self>, now: impl FnOnce() -> Instant) -> Arc<Self> {
        if self.engines.iter().all(|e| e.left_alone.is_none()) {
            return self;
        }
        let now = now();
        let mut view = Self::clone(&self);
        for engine in &mut view.engines {
            engine.wait_at(now);
        }
        Arc::new(view)
    }

    /// The engine of that name.
    pub fn engine(&self, name: &str) -> Option<&EngineView> {
        self.engines.iter().find(|e| &*e.name == name)
    }

    /// The number of waiting requests that get a permit of that engine before a new request of this
    /// client. Clients take turns.
    pub fn turns_before(&self, engine: &EngineView, client: &ClientId) -> u32 {
        let mut counts: BTreeMap<&ClientId, u32> = BTreeMap::new();
        for waiter in self.queue.iter().filter(|w| w.engine == engine.name) {
            *counts.entry(&waiter.client).or_default() += 1;
        }
        let rounds = counts.remove(client).unwrap_or(0).saturating_add(1);
        let later = counts.values().map(|count| count.saturating_sub(rounds));
        engine.queued.saturating_sub(later.sum())
    }

    /// The names of all engines' models.
    pub fn models(&self) -> impl Iterator<Item = &Arc<str>> {
        let models = self.engines.iter().flat_map(|engine| engine.models.iter());
        models.map(|model| &model.id)
    }

    /// Whether at least one engine is up.
    pub fn any_up(&self) -> bool {
        self.engines.iter().any(EngineView::is_up)
    }
}

// === impl Cooldown ===

impl Cooldown {
    /// The remaining time for `Retry-After`: whole seconds, rounded up, from 1 to 60.
    pub fn retry_after(&self) -> u64 {
        let up = u64::from(self.remaining.subsec_nanos() > 0);
        self.remaining.as_secs().saturating_add(up).clamp(1, 60)
    }
}

// === impl Health ===

impl Health {
    /// The word for the health in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

// === impl EngineView ===

impl EngineView {
    /// An engine of which nothing but its name, kind and device is known: it has not answered yet.
    pub fn named(name: &str, kind: EngineKind, device: Device) -> Self {
        let pool = if device == Device::Cpu { "cpu" } else { "gpu" };
        Self {
            name: Arc::from(name),
            kind,
            device,
            pool: Arc::from(pool),
            url: String::new(),
            health: Health::Unknown,
            breaker: BreakerState::Closed,
            left_alone: None,
            error: None,
            refused_access: false,
            version: None,
            advice: Arc::default(),
            conflicts: Vec::new(),
            load_control: false,
            discovered: false,
            wedged: false,
            budget: None,
            others: None,
            used: 0,
            peak: 0,
            models_limit: None,
            ttl: None,
            limit: None,
            models: Arc::default(),
            residents: Vec::new(),
            permits: kind.profile().permits,
            queue_limit: kind.profile().queue,
            queued: 0,
            active: 0,
            loading: None,
        }
    }

    /// Brings the cooldown to its state at `now`.
    fn wait_at(&mut self, now: Instant) {
        let Some(left_alone) = &mut self.left_alone else {
            return;
        };
        left_alone.remaining = left_alone.until.saturating_duration_since(now);
        if left_alone.remaining.is_zero() {
            self.breaker = left_alone.state_after;
            self.left_alone = None;
        }
    }

    /// The runner that loads a model of this name, [`ModelInfo::runner`]; the name itself where the
    /// engine does not list it.
    pub fn runner<'a>(&'a self, model: &'a str) -> &'a str {
        let found = self.models.iter().find(|m| *m.id == *model);
        found.map_or(model, |m| &m.runner)
    }

    /// The resident that answers requests for that model, under whichever name it was loaded.
    pub fn holds(&self, model: &str) -> Option<&ResidentView> {
        let runner = self.runner(model);
        self.residents.iter().find(|r| *r.info.model == *runner)
    }

    /// The names that a resident answers to, first the one that it is known by.
    pub fn names(&self, resident: &ResidentInfo) -> Vec<Arc<str>> {
        let known = resident.name(self.kind);
        let shared = self.models.iter().filter(|m| m.runner == resident.model);
        let others = shared.map(|m| &m.id).filter(|id| *id != known);
        std::iter::once(known).chain(others).cloned().collect()
    }

    /// Whether the engine answers its polls, if not each of them.
    pub fn is_up(&self) -> bool {
        matches!(self.health, Health::Up | Health::Degraded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{engine, view};

    #[test]
    fn a_newcomer_waits_for_turns_and_not_for_everybody() {
        let mut gpu = engine("gpu", Device::Gpu, &["m"]);
        gpu.queued = 10;
        let mut view = view([gpu.clone()]);
        // Nobody is known by name.
        assert_eq!(view.turns_before(&gpu, &ClientId::of_key("a")), 10);
        for (client, engine) in [("a", "gpu"); 7].into_iter().chain([
            ("b", "gpu"),
            ("b", "gpu"),
            ("c", "gpu"),
            ("d", "cpu"),
        ]) {
            view.queue.push(QueuedView {
                request_id: "r".into(),
                client: ClientId::of_key(client),
                engine: engine.into(),
                model: "m".into(),
                position: 1,
                waiting: Duration::ZERO,
                reason: "slot",
            });
        }
        let before = |client| view.turns_before(&gpu, &ClientId::of_key(client));
        assert_eq!([before("a"), before("b"), before("c")], [10, 6, 5]);
        // One of each.
        assert_eq!(before("new"), 3);
    }
}
