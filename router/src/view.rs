//! The published snapshot of everything known: read by routing, lists, metrics and `/crucible/state`.

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
    engine::Tuple,
    machine::MemoryLimit,
    measurements::Measurements,
};

/// Health of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Never answered and never failed yet.
    #[default]
    Unknown,
    /// Answers.
    Up,
    /// Failed less often than the threshold.
    Degraded,
    /// Failed too often in a row.
    Down,
}

/// The circuit breaker of an engine's data path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Requests pass.
    #[default]
    Closed,
    /// Requests are refused.
    Open,
    /// One probe passes.
    HalfOpen,
}

/// An engine that gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// Until then.
    pub until: Instant,
    /// How long that is.
    pub remaining: Duration,
    /// It asked for that itself (429); else it fails its requests.
    pub engine_asked: bool,
    /// Where its breaker stands then.
    pub state_after: BreakerState,
}

/// What is known of one engine.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of an engine, not states"
)]
pub struct EngineView {
    /// Its name.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: EngineKind,
    /// Resolved device: `Gpu` or `Cpu`.
    pub device: Device,
    /// Pool name.
    pub pool: Arc<str>,
    /// For people; without credentials.
    pub url: String,
    /// Health.
    pub health: Health,
    /// Breaker.
    pub breaker: BreakerState,
    /// While its breaker is open.
    pub left_alone: Option<Cooldown>,
    /// What was wrong with the last poll, in words.
    pub error: Option<String>,
    /// That is that it wants a token, or another one.
    pub refused_access: bool,
    /// Version, where told.
    pub version: Option<String>,
    /// What its version is too old for, a sentence each.
    pub advice: Arc<Vec<String>>,
    /// What the configuration asks of it and cannot be.
    pub conflicts: Vec<Conflict>,
    /// Whether loads are controlled.
    pub load_control: bool,
    /// Found on a default port, not configured.
    pub discovered: bool,
    /// A load never ended, or requests found no answer, while it answered its polls.
    pub wedged: bool,
    /// Bytes that the models of its pool may have together; `None`: not known.
    pub budget: Option<u64>,
    /// Bytes that other programs hold of this machine's graphics cards, where it computes there and
    /// they tell.
    pub others: Option<u64>,
    /// Bytes that its models are counted with.
    pub used: u64,
    /// The most that the models of its pool were counted with since the start.
    pub peak: u64,
    /// After this long without a request, what Crucible loaded is unloaded.
    pub ttl: Option<Duration>,
    /// What the system holds its memory to (row 24), where Crucible started it.
    pub limit: Option<MemoryLimit>,
    /// Models, as listed last (kept while it is down).
    pub models: Arc<Vec<ModelInfo>>,
    /// Residents with what the scheduler knows of them.
    pub residents: Vec<ResidentView>,
    /// Permits per resident.
    pub permits: u32,
    /// Bound of the queue.
    pub queue_limit: u32,
    /// Waiting now.
    pub queued: u32,
    /// Granted now.
    pub active: u32,
    /// A load in flight.
    pub loading: Option<LoadingView>,
}

/// Settings that cannot all be in effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    /// In words.
    pub found: String,
    /// What mends it.
    pub fix: String,
    /// It is about the memory of its pool.
    pub of_memory: bool,
    /// It is about names over the same weights.
    pub of_weights: bool,
}

/// One resident.
#[derive(Clone, Debug)]
pub struct ResidentView {
    /// As the engine reports it.
    pub info: ResidentInfo,
    /// The options that Crucible loaded it with, where it did.
    pub tuple: Option<Tuple>,
    /// Permits out.
    pub active: u32,
    /// Since the last release.
    pub idle: Duration,
    /// Never unloaded.
    pub pinned: bool,
    /// Loaded by Crucible.
    pub owned: bool,
}

/// A load in flight.
#[derive(Clone, Debug)]
pub struct LoadingView {
    /// What.
    pub model: Arc<str>,
    /// For how long already.
    pub since: Duration,
    /// How long it usually takes.
    pub expected: Option<Duration>,
}

/// One waiting request.
#[derive(Clone, Debug)]
pub struct QueuedView {
    /// Request id.
    pub request_id: Arc<str>,
    /// Who waits.
    pub client: ClientId,
    /// Engine.
    pub engine: Arc<str>,
    /// Model.
    pub model: Arc<str>,
    /// 1 is next.
    pub position: u32,
    /// For how long already.
    pub waiting: Duration,
    /// `slot`, `load` or `swap`.
    pub reason: &'static str,
}

/// Everything known.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In configured order, then discovered ones.
    pub engines: Vec<EngineView>,
    /// Waiting requests.
    pub queue: Vec<QueuedView>,
    /// Every engine has answered or failed once.
    pub settled: bool,
    /// Going down.
    pub draining: bool,
    /// Its folder of state belongs to this Crucible, not to another that runs.
    pub owns_state: bool,
    /// What the predictor learned.
    pub measurements: Arc<Measurements>,
}

impl View {
    /// The view of a moment after it was made: waits pass, though nobody publishes that.
    pub fn at(self: Arc<Self>, now: Instant) -> Arc<Self> {
        if self.engines.iter().all(|e| e.left_alone.is_none()) {
            return self;
        }
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

    /// How many have their turn for a permit of that engine before a newcomer of this client: clients
    /// take turns.
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

    /// At least one engine is up.
    pub fn any_up(&self) -> bool {
        self.engines.iter().any(EngineView::is_up)
    }
}

// === impl Cooldown ===

impl Cooldown {
    /// Whole seconds for `Retry-After`, rounded up, 1..=60.
    pub fn retry_after(&self) -> u64 {
        let up = u64::from(self.remaining.subsec_nanos() > 0);
        self.remaining.as_secs().saturating_add(up).clamp(1, 60)
    }
}

// === impl Health ===

impl Health {
    /// The word for it in documents.
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

    /// The wait of its breaker, as it is at `now`.
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

    /// What stands for a model in memory.
    pub fn runner<'a>(&'a self, model: &'a str) -> &'a str {
        let found = self.models.iter().find(|m| *m.id == *model);
        found.map_or(model, |m| &m.runner)
    }

    /// Where that model is loaded, by whatever name.
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

    /// It answers, if not always.
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
