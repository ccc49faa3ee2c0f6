//! The scheduler as a pure step function: inputs and `now` in, actions out.
//!
//! One load or unload in flight per pool, shared by all who wait; only idle residents are evicted;
//! a waiting swap is overtaken only within the bounds of `[scheduler]`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use super::{
    departed::Departed,
    fit::Mark,
    hold::Hold,
    line::Line,
    memory::Owned,
    others::Others,
    regained::Lost,
    size::Size,
    types::{Action, Arrival, Facts, Input, Order},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    client::ClientId,
    engine::Tuple,
    event::{Event, EvictionReason},
};

/// An engine and its name of a model.
pub(super) type Place = (Arc<str>, Arc<str>);
/// A model, and with which options beside the request's.
pub(super) type Reserved = (Place, u64);

/// One instance of a model.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a resident"
)]
pub(super) struct Resident {
    pub(super) info: ResidentInfo,
    /// What Crucible loaded it with, where it did.
    pub(super) tuple: Option<Tuple>,
    pub(super) pinned: bool,
    pub(super) active: u32,
    pub(super) idle_since: Instant,
    /// When it was first known.
    pub(super) seen: Instant,
    /// The engine no longer lists it: it goes with its last permit.
    pub(super) vanished: bool,
    /// An engine without load control did not list it: it serves because a request came.
    pub(super) assumed: bool,
    /// Loaded, and nobody was granted it yet.
    pub(super) fresh: bool,
    /// Ours went, and the engine loaded it again by itself, with less context.
    pub(super) shrunk: bool,
    /// Of its pool's memory; 0: not known.
    pub(super) bytes: u64,
    /// Sessions that its slots served last, the latest at the end; `None` is one that told none.
    pub(super) warm: VecDeque<Option<u64>>,
    /// Agents that are expected back.
    pub(super) holds: Vec<Hold>,
    /// When the engine was last told to keep it.
    pub(super) renewed: Instant,
    pub(super) unload: Retry,
}

/// The backoff of an unload that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    pub(super) not_before: Option<Instant>,
    pub(super) backoff: Duration,
}

pub(super) struct EngineState {
    pub(super) facts: Facts,
    pub(super) residents: Vec<Resident>,
    /// One for each model that somebody waits for, and for each of its variants.
    pub(super) lines: Vec<Line>,
    /// Generations and embeddings that wait.
    pub(super) waiting: [usize; 2],
    /// Embedding permits out.
    pub(super) embedding: u32,
    /// Mean time from grant to release, and of how many.
    pub(super) service: (Duration, u32),
    /// A load never ended while the engine answered its polls.
    pub(super) wedged: bool,
    /// By model: bytes of loads that were given up, until the engine tells what it holds.
    pub(super) given_up: BTreeMap<Arc<str>, u64>,
    /// Polls up to this one may have begun before the last operation ended.
    trust_after: u64,
    /// When the last load ended: from then on a swap's age counts, else in a long queue every model
    /// would be swapped out as soon as it is in.
    pub(super) loaded_at: Option<Instant>,
}

/// Where a waiter is to be found.
pub(super) struct Seat {
    pub(super) engine: Arc<str>,
    pub(super) model: Arc<str>,
    /// As it was asked for.
    pub(super) name: Arc<str>,
    /// Of its name, when it came.
    pub(super) variant: u64,
    pub(super) kind: ModelKind,
    pub(super) deadline: Instant,
    pub(super) supersedes: Option<u64>,
}

/// A permit that is out.
pub(super) struct Active {
    pub(super) engine: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) kind: ModelKind,
    pub(super) since: Instant,
    pub(super) client: ClientId,
    pub(super) session: Option<u64>,
    pub(super) class: Class,
}

/// A load or unload in flight.
pub(super) struct Operation {
    pub(super) engine: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) since: Instant,
    pub(super) exclusive: bool,
    pub(super) work: Work,
    /// Bytes that a load is expected to take.
    pub(super) bytes: u64,
    /// Polls of the engine when it began.
    pub(super) polls: u64,
}

pub(super) enum Work {
    Load(Order),
    Unload {
        instance: Arc<str>,
        reason: EvictionReason,
        /// What is to be loaded then.
        room_for: Option<Reserved>,
    },
}

/// A load that failed.
pub(super) struct Failure {
    pub(super) until: Instant,
    pub(super) backoff: Duration,
    pub(super) message: String,
    /// It may fit when something else goes.
    pub(super) oom: bool,
    /// The engine does not have the model.
    pub(super) missing: bool,
}

/// The whole state.
#[derive(Default)]
pub struct Scheduler {
    pub(super) engines: Vec<EngineState>,
    pub(super) seats: HashMap<u64, Seat>,
    pub(super) deadlines: BTreeSet<(Instant, u64)>,
    /// Waiting tickets that a newer request may replace.
    pub(super) replaceable: HashMap<u64, u64>,
    pub(super) active: HashMap<u64, Active>,
    /// By pool.
    pub(super) operations: BTreeMap<Arc<str>, Operation>,
    /// By pool: what room was made for.
    pub(super) reserved: BTreeMap<Arc<str>, Reserved>,
    pub(super) failures: HashMap<Place, Failure>,
    pub(super) marks: HashMap<Place, Mark>,
    /// How long the last load took.
    pub(super) load_times: HashMap<Place, Duration>,
    /// Tokens and bytes of the last load.
    pub(super) measured: HashMap<Place, (u64, u64)>,
    /// Loads that were given up, and when: the engine may yet end them.
    pub(super) abandoned: HashMap<Place, (Tuple, Instant)>,
    /// Residents of ours that an engine lost while they were used, and may load again by itself.
    pub(super) lost: HashMap<Place, Lost>,
    /// When something was last loaded for a client, as a number that grows.
    pub(super) turns: BTreeMap<ClientId, u64>,
    /// Pinned models, as they are loaded again.
    pub(super) pins: BTreeMap<Place, Arc<Arrival>>,
    /// Loaded by an earlier run, and not seen yet.
    pub(super) adoptable: Vec<Owned>,
    /// Loaded on engines that are configured no more, and still used.
    pub(super) departed: Vec<Departed>,
    /// Loaded by the Crucible that owns the folder of state.
    pub(super) others: Vec<Owned>,
    /// Of an earlier run, for engines not seen yet: contexts, and what was configured then.
    pub(super) remembered: HashMap<Place, (u64, Option<u64>)>,
    /// What other programs hold of the graphics cards, where it is known.
    pub(super) others_hold: Option<Others>,
    /// When an operation on them ended last.
    pub(super) settled: Option<Instant>,
    /// By pool: the most bytes that its models took.
    pub(super) peaks: BTreeMap<Arc<str>, u64>,
    /// Grows when what is to outlive this run changes.
    pub(super) revision: u64,
    /// Crucible ends; true: what it loaded is unloaded.
    pub(super) draining: Option<bool>,
    stepped: Option<Instant>,
}

/// `None` where no clock reaches.
pub(super) fn after(at: Instant, wait: Duration) -> Option<Instant> {
    at.checked_add(wait)
}

pub(super) const fn lane(kind: ModelKind) -> usize {
    match kind {
        ModelKind::Generation => 0,
        ModelKind::Embedding => 1,
    }
}

// === impl Resident ===

impl Resident {
    pub(super) fn new(info: ResidentInfo, now: Instant) -> Self {
        Self {
            info,
            tuple: None,
            pinned: false,
            active: 0,
            idle_since: now,
            seen: now,
            vanished: false,
            assumed: false,
            fresh: false,
            shrunk: false,
            bytes: 0,
            warm: VecDeque::new(),
            holds: Vec::new(),
            renewed: now,
            unload: Retry::default(),
        }
    }

    /// A slot takes the prompt of that session, and the one that was longest unused is lost.
    pub(super) fn serve(&mut self, session: Option<u64>, permits: u32) {
        let own = |held: &Option<u64>| session.is_some() && *held == session;
        let slots = self.info.parallel.unwrap_or(permits).max(1) as usize;
        if let Some(at) = self.warm.iter().position(own) {
            self.warm.remove(at);
        } else if self.warm.len() >= slots {
            self.warm.pop_front();
        }
        self.warm.push_back(session);
    }

    /// Idle, and not in the backoff of an unload that failed.
    pub(super) fn may_go(&self, now: Instant) -> bool {
        let retried = self.unload.not_before.is_none_or(|at| at <= now);
        self.active == 0 && retried
    }
}

// === impl EngineState ===

impl EngineState {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            residents: Vec::new(),
            lines: Vec::new(),
            waiting: [0; 2],
            embedding: 0,
            service: (Duration::ZERO, 0),
            wedged: false,
            given_up: BTreeMap::new(),
            trust_after: 0,
            loaded_at: None,
        }
    }

    pub(super) fn line(&self, model: &str, variant: u64, kind: ModelKind) -> Option<usize> {
        let own = |l: &Line| l.kind == kind && l.variant == variant && *l.model == *model;
        self.lines.iter().position(own)
    }

    /// Somebody waits for that model.
    pub(super) fn wanted(&self, model: &str) -> bool {
        self.lines.iter().any(|l| *l.model == *model)
    }

    /// A load that no poll has seen yet keeps what its order said; gives whether this list counts.
    pub(super) fn believes(&mut self, facts: &Facts) -> bool {
        if facts.polls < self.facts.polls {
            // It was configured anew and counts from the start.
            self.trust_after = 0;
        }
        facts.listed > self.trust_after
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// One step.
    pub fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        let mut newcomer = None;
        let comes_or_goes = matches!(
            input,
            Input::Loaded(..) | Input::Found(..) | Input::Fleet(_)
        );
        match input {
            Input::Arrive(arrival) => newcomer = self.arrive(arrival, now, actions),
            Input::Cancelled(ticket) => self.cancel(ticket),
            Input::Released(ticket) => self.release(ticket, false, now, actions),
            Input::ReleasedForTools(ticket) => self.release(ticket, true, now, actions),
            Input::Loaded(engine, info) => self.loaded(&engine, info, true, now, actions),
            Input::Found(engine, info) => self.loaded(&engine, info, false, now, actions),
            Input::LoadFailed(engine, failure) => self.load_failed(&engine, failure, now, actions),
            Input::Unloaded(engine, gone) => self.unloaded(&engine, gone, now, actions),
            Input::Fleet(fleet) => self.observe(fleet, now, actions),
            Input::Adopt(memory) => self.adopt(memory),
            Input::Others(memory) => self.others = memory.owned,
            Input::Drain(unload) => self.drain(unload, actions),
            Input::Tick => {}
        }
        if comes_or_goes {
            self.note_peaks();
        }
        self.abandon(now, actions);
        if self.draining.is_some() {
            self.unload_all(now, actions);
        } else {
            self.expire(now, actions);
            self.grant(now, actions);
            if let Some(ticket) = newcomer {
                self.admit(ticket, now, actions);
            }
            self.start_operations(now, actions);
        }
        self.stepped = Some(now);
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        // What was due by the last step was looked at then.
        let seen = self.stepped.unwrap_or(now);
        let waits = self.deadlines.first().map(|(at, _)| *at);
        let ends = self.operations.values().filter_map(Operation::ends);
        let chores = self.chores_due().filter(|at| *at > seen);
        let retries = self
            .engines
            .iter()
            .filter(|e| !e.lines.is_empty() || self.draining.is_some())
            .flat_map(|e| &e.residents)
            .filter_map(|r| r.unload.not_before)
            .filter(|at| *at > seen);
        waits
            .into_iter()
            .chain(ends)
            .chain(chores)
            .chain(self.next_hold_end(seen))
            .chain(retries)
            .min()
    }

    /// Nothing is left to do before the end.
    pub fn drained(&self) -> bool {
        self.draining.is_some() && self.operations.is_empty() && !self.any_to_unload()
    }

    /// Whether an engine of that name is known.
    pub fn knows(&self, engine: &str) -> bool {
        // Facts from before the first poll say nothing of residents or load control.
        self.facts(engine).is_some_and(|facts| facts.polls > 0)
    }

    /// What that engine is.
    pub fn facts(&self, engine: &str) -> Option<&Facts> {
        self.engine(engine).map(|e| &e.facts)
    }

    pub(super) fn index(&self, engine: &str) -> Option<usize> {
        self.engines.iter().position(|e| *e.facts.name == *engine)
    }

    pub(super) fn engine(&self, engine: &str) -> Option<&EngineState> {
        self.engines.iter().find(|e| *e.facts.name == *engine)
    }

    pub(super) fn engine_mut(&mut self, engine: &str) -> Option<&mut EngineState> {
        self.engines.iter_mut().find(|e| *e.facts.name == *engine)
    }

    /// What is known of a model's memory.
    pub(super) fn size_of(&self, facts: &Facts, model: &Arc<str>) -> Size {
        let place = (Arc::clone(&facts.name), Arc::clone(model));
        Size::of(facts, model, self.measured.get(&place).copied())
    }

    /// The operation of an engine, under whatever pool it was begun.
    pub(super) fn operation_of(&self, engine: &str) -> Option<&Operation> {
        self.operations.values().find(|o| *o.engine == *engine)
    }

    /// Ends the operation of an engine; a poll that may have begun before is not believed.
    pub(super) fn finish(&mut self, engine: &str) -> Option<Operation> {
        let pool = self
            .operations
            .iter()
            .find(|(_, o)| *o.engine == *engine)
            .map(|(pool, _)| Arc::clone(pool))?;
        if let Some(state) = self.engine_mut(engine) {
            state.trust_after = state.facts.polls + 1;
        }
        self.operations.remove(&pool)
    }
}

/// Tells that a resident went.
pub(super) fn evicted(engine: &Arc<str>, model: &Arc<str>, reason: EvictionReason) -> Action {
    Action::Tell(Event::Evicted {
        engine: Arc::clone(engine),
        model: Arc::clone(model),
        reason,
    })
}
