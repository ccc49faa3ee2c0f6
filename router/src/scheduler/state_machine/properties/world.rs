//! Engines as they are beside the scheduler's idea of them, and what is asked of every step.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use super::super::{
    pool_operation::OperationKind,
    state::Scheduler,
    tests::{GB, facts, permit_request},
};
use super::{random::Random, share::Rounds};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    client::ClientId,
    engine::LoadTuple,
    plan::fixture::generation,
    refusal::Refusal,
    scheduler::messages::{Action, EngineFacts, Input, LoadCommand, PermitRequest},
};

pub(super) const ENGINES: [(&str, &str); 3] = [("a", "gpu"), ("b", "cpu"), ("c", "cpu")];
/// With their bytes; the last one makes vectors.
pub(super) const MODELS: [(&str, u64); 5] = [("k", 3), ("l", 4), ("m", 6), ("n", 12), ("v", 3)];
pub(super) const EMBEDDING: usize = 4;
pub(super) const CLIENTS: [&str; 3] = ["x", "y", "z"];
/// Names of the first one's runner, with what their loads have beside the request's options.
pub(super) const NAMES: [(&str, u64); 3] = [("k", 0), ("k-copy", 0), ("k-other", 7)];
pub(super) const BUDGET: u64 = 10 * GB;
/// `overtake_count` of these engines.
const COUNT: u32 = 3;
/// The same, stretched as far as slow loads can.
const MOST_OVERTAKEN: u32 = COUNT * 4;
/// Nobody is to need it.
pub(super) const DAY: Duration = Duration::from_hours(24);

pub(super) enum Running {
    Load(LoadCommand),
    Unload(ResidentInfo),
}

pub(super) struct Wait {
    pub(super) engine: usize,
    pub(super) model: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: ModelKind,
    pub(super) client: ClientId,
    pub(super) commits: Option<Instant>,
    pub(super) class: Class,
    pub(super) session: Option<u64>,
    pub(super) least: u64,
    pub(super) need: u64,
}

/// The engines as they are, and what was granted.
pub(super) struct World {
    pub(super) core: Scheduler,
    pub(super) now: Instant,
    pub(super) fleet: Vec<EngineFacts>,
    /// By engine.
    pub(super) running: BTreeMap<usize, Running>,
    pub(super) next: u64,
    pub(super) waiting: BTreeMap<u64, Wait>,
    pub(super) active: BTreeMap<u64, (usize, Arc<str>)>,
    /// Waiting, and how many younger ones of the same client and class were granted before.
    pub(super) passed: BTreeMap<u64, u32>,
    /// Loaded, and these waited for it.
    pub(super) fresh: HashMap<(usize, Arc<str>), Vec<u64>>,
    /// Who arrives in this step.
    pub(super) newcomer: Option<u64>,
    pub(super) rounds: Rounds,
}

/// All engines, with budgets.
pub(super) fn fleet() -> Vec<EngineFacts> {
    let models = MODELS.map(|(name, gb)| {
        let mut model = generation(name);
        (model.size_bytes, model.context_bytes) = (Some(gb * GB), Some(1));
        model
    });
    let mut models = models.to_vec();
    for (name, _) in &NAMES[1..] {
        let mut other = models[0].clone();
        other.id = (*name).into();
        models.push(other);
    }
    let models = Arc::new(models);
    let variants = NAMES.map(|(name, variant)| (name.into(), variant));
    let engine = |(name, pool)| EngineFacts {
        pool_budget: Some(BUDGET),
        models: Arc::clone(&models),
        option_variants: variants.clone().into(),
        ..facts(name, pool)
    };
    ENGINES.map(engine).to_vec()
}

pub(super) fn bytes(model: &str) -> u64 {
    let found = MODELS.iter().find(|(name, _)| *name == model);
    found.unwrap().1 * GB
}

pub(super) fn variant(name: &str) -> u64 {
    let found = NAMES.iter().find(|(n, _)| *n == name);
    found.map_or(0, |(_, variant)| *variant)
}

pub(super) fn engine(name: &str) -> usize {
    ENGINES.iter().position(|(e, _)| *e == name).unwrap()
}

/// A request for one of the models.
pub(super) fn request(ticket: u64, engine: usize, model: usize, now: Instant) -> PermitRequest {
    let mut request = permit_request(ticket, ENGINES[engine].0, MODELS[model].0, now);
    request.deadline += DAY;
    if model == EMBEDDING {
        request.kind = ModelKind::Embedding;
        (request.prompt_tokens, request.tuple) = (0, LoadTuple::default());
    }
    request
}

// === impl World ===

impl World {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut fleet = fleet();
        if random.below(4) == 0 {
            fleet[1].pinned_models = vec!["k".into()];
        }
        if random.below(4) == 0 {
            let memory = Some(15 * GB);
            for facts in &mut fleet {
                facts.shared_budget = memory;
            }
        }
        if random.below(2) == 0 {
            for facts in &mut fleet {
                facts.queue_limit = 1 + random.index(4);
            }
        }
        let mut world = Self {
            core: Scheduler::default(),
            now: Instant::now(),
            fleet: fleet.clone(),
            running: BTreeMap::new(),
            next: 1,
            waiting: BTreeMap::new(),
            active: BTreeMap::new(),
            passed: BTreeMap::new(),
            fresh: HashMap::new(),
            newcomer: None,
            rounds: Rounds::default(),
        };
        world.step(Input::Fleet(fleet));
        world
    }

    pub(super) fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.core.step(input, self.now, &mut actions);
        for action in actions {
            self.check(action);
        }
        self.shared();
        let lines = self.core.engines.iter().flat_map(|e| &e.queues);
        let mut in_line = 0;
        for line in lines {
            assert!(
                line.times_overtaken <= MOST_OVERTAKEN,
                "overtaken too often"
            );
            in_line += line.waiters().count();
        }
        assert_eq!(in_line, self.waiting.len(), "waiters in line");
        assert_eq!(
            in_line,
            self.core.waiting_tickets.len(),
            "waiters with a ticket"
        );
        assert_eq!(in_line, self.core.deadlines.len(), "waiters with an end");
        let permits = self.core.engines.iter().flat_map(|e| &e.residents);
        let out: u32 = permits.map(|r| r.permits_out).sum();
        assert_eq!(self.core.active_permits.len(), self.active.len());
        assert_eq!(
            out as usize,
            self.active.len(),
            "grants = releases + active"
        );
    }

    pub(super) fn check(&mut self, action: Action) {
        match action {
            Action::Grant(grant) => self.granted(grant.ticket),
            Action::Reject(ticket, refusal) => {
                let starved = matches!(refusal, Refusal::QueueTimeout { .. });
                assert!(!starved, "{ticket} waits for ever");
                if matches!(refusal, Refusal::QueueFull { .. }) {
                    self.gives_way(ticket);
                }
                assert!(self.waiting.remove(&ticket).is_some(), "refused twice");
            }
            Action::Load(order) => {
                let at = engine(&order.engine);
                self.alone(at);
                self.wanted(at, &order);
                self.fits(at, &order);
                self.running.insert(at, Running::Load(order));
            }
            Action::Unload(name, info) => {
                let at = engine(&name);
                self.alone(at);
                self.may_go(at, &info);
                self.goes_for_its_like(at, &info);
                self.running.insert(at, Running::Unload(info));
            }
            Action::Emit(_) => {}
        }
    }

    pub(super) fn granted(&mut self, ticket: u64) {
        let wait = self
            .waiting
            .remove(&ticket)
            .expect("granted twice or after it left");
        let same = |w: &Wait| {
            let options = (variant(&w.name), variant(&wait.name));
            (w.engine, &w.model, &w.client, w.class)
                == (wait.engine, &wait.model, &wait.client, wait.class)
                && options.0 == options.1
        };
        if let Some((older, _)) = self.waiting.range(..ticket).find(|(_, w)| same(w)) {
            assert!(
                wait.session.is_some(),
                "one of the same client waits longer"
            );
            let passed = self.passed.entry(*older).or_default();
            *passed += 1;
            assert!(*passed <= COUNT, "passed by too many");
        }
        self.goes_round(&wait);
        let held = &self.fleet[wait.engine].residents;
        let serves = |r: &ResidentInfo| {
            r.model == wait.model
                && r.context.is_none_or(|has| has >= wait.least)
                && variant(&r.instance) == variant(&wait.name)
        };
        assert!(held.iter().any(serves), "{} cannot serve it", wait.model);
        self.fresh.remove(&(wait.engine, Arc::clone(&wait.model)));
        self.active.insert(ticket, (wait.engine, wait.model));
    }

    pub(super) fn alone(&self, at: usize) {
        let pool = ENGINES[at].1;
        let other = self.running.keys().find(|e| ENGINES[**e].1 == pool);
        assert!(other.is_none(), "two operations in {pool}");
    }

    /// Somebody waits for it still, or it is pinned.
    fn wanted(&self, at: usize, order: &LoadCommand) {
        let waits = |w: &Wait| w.engine == at && w.model == order.model;
        let pinned = self.fleet[at].pinned_models.contains(&order.model);
        let waited = self.waiting.values().any(waits);
        assert!(waited || pinned, "{} is loaded for nobody", order.model);
    }

    /// Neither count nor memory are exceeded, but by one that is alone.
    pub(super) fn fits(&self, at: usize, order: &LoadCommand) {
        let held = &self.fleet[at].residents;
        let generation = |r: &&ResidentInfo| r.kind == ModelKind::Generation;
        let count = held.iter().filter(generation).count();
        let counts = order.kind == ModelKind::Generation;
        assert!(
            !counts || count < self.fleet[at].max_loaded_models,
            "too many"
        );
        let in_pool = |pool: Option<&str>| {
            let of = |e: &usize| pool.is_none_or(|pool| ENGINES[*e].1 == pool);
            let held = (0..ENGINES.len())
                .filter(of)
                .flat_map(|e| &self.fleet[e].residents);
            let flying = self.running.iter().filter(|(e, _)| of(e)).map(|(_, r)| r);
            let flying = flying.filter_map(|r| match r {
                Running::Load(order) => Some(bytes(&order.model)),
                Running::Unload(_) => None,
            });
            held.map(|r| bytes(&r.model)).chain(flying).sum::<u64>()
        };
        for (pool, budget) in [
            (Some(ENGINES[at].1), self.fleet[at].pool_budget),
            (None, self.fleet[at].shared_budget),
        ] {
            let used = in_pool(pool);
            let within = budget.is_none_or(|b| used + bytes(&order.model) <= b);
            let alone = order.over_budget_bytes.is_some() && used == 0;
            assert!(within || alone, "{} beside {used}", order.model);
        }
    }

    /// Asserts that no model that generates goes to make room for one that embeds.
    fn goes_for_its_like(&self, at: usize, info: &ResidentInfo) {
        let operation = self.core.operations.get(ENGINES[at].1);
        let Some(OperationKind::Unload { room_for, .. }) = operation.map(|o| &o.kind) else {
            return;
        };
        let embeds = room_for
            .as_ref()
            .is_some_and(|((_, model), _)| **model == *MODELS[EMBEDDING].0);
        assert!(
            !embeds || info.kind == ModelKind::Embedding,
            "{} goes for an embedding model",
            info.model
        );
    }

    /// Asserts that a resident may be unloaded: it is not busy, not pinned, not loaded by a person, and
    /// whoever had it loaded has used it. To load it with a larger context it may always go.
    pub(super) fn may_go(&self, at: usize, info: &ResidentInfo) {
        let place = (at, Arc::clone(&info.model));
        assert!(!self.active.values().any(|p| *p == place), "it is busy");
        let core = self.core.engine(ENGINES[at].0).unwrap();
        let own = core
            .residents
            .iter()
            .find(|r| r.info.instance == info.instance);
        let mut waiting = self.waiting.values();
        let grows = waiting.any(|w| {
            let small = info.context.is_some_and(|c| c < w.need);
            let same = variant(&w.name) == variant(&info.instance);
            w.engine == at && w.model == info.model && small && same
        });
        if grows {
            return;
        }
        assert!(
            !self.fleet[at].pinned_models.contains(&info.model),
            "it is pinned"
        );
        assert!(own.is_some_and(|r| r.tuple.is_some()), "a person loaded it");
        let first = self.fresh.get(&place).into_iter().flatten();
        let unused = first.clone().any(|t| {
            let wait = self.waiting.get(t);
            wait.is_some_and(|w| variant(&w.name) == variant(&info.instance))
        });
        assert!(!unused, "{} was loaded for nothing", info.model);
    }
}
