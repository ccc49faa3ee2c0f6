//! The load scheduler as a pure step function: inputs and `now` in, actions out.
//!
//! One load or unload in flight per pool, shared by all who wait; only idle residents are evicted;
//! a waiting swap is overtaken only within the bounds of `[scheduler]`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::EngineKind;

use crate::{
    catalog::{ModelKind, ResidentInfo},
    engine::{Tuple, tuple},
    refusal::Refusal,
};

/// What the scheduler knows of an engine; sent again with every poll.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Name.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: EngineKind,
    /// Its pool.
    pub pool: Arc<str>,
    /// Loads may be ordered.
    pub load_control: bool,
    /// Per resident.
    pub permits: u32,
    /// Bound of the queue.
    pub queue: usize,
    /// Generation models at once.
    pub max_loaded: usize,
    /// May evict what others loaded.
    pub evict_foreign: bool,
    /// Overtakers of a waiting swap.
    pub overtake_count: u32,
    /// Age after which nobody overtakes it.
    pub overtake_age: Duration,
    /// For one load.
    pub load_budget: Duration,
    /// Number of the poll; an older one is ignored.
    pub polls: u64,
    /// What it holds.
    pub residents: Vec<ResidentInfo>,
}

/// One request that wants a permit.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Unique.
    pub ticket: u64,
    /// Engine.
    pub engine: Arc<str>,
    /// Model.
    pub model: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// Tokens needed by this request.
    pub need: u64,
    /// Options of a load.
    pub tuple: Tuple,
    /// Never evicted.
    pub pinned: bool,
    /// The wait ends here.
    pub deadline: Instant,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A request.
    Arrive(Arrival),
    /// It left.
    Cancelled(u64),
    /// Its permit came back.
    Released(u64),
    /// A load ended well.
    Loaded(Arc<str>, ResidentInfo),
    /// A load failed, in the engine's words; `None`: over its budget.
    LoadFailed(Arc<str>, Arc<str>, Option<String>),
    /// An unload ended; false: it failed.
    Unloaded(Arc<str>, Arc<str>, bool),
    /// A poll.
    Observed(Facts),
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Give the permit.
    Grant(u64, ResidentInfo, Option<Tuple>, bool),
    /// Refuse.
    Reject(u64, Refusal),
    /// Load.
    Load(Arc<str>, Arc<str>, ModelKind, Tuple),
    /// Unload.
    Unload(Arc<str>, ResidentInfo),
}

pub(crate) struct Resident {
    pub(crate) info: ResidentInfo,
    pub(crate) tuple: Option<Tuple>,
    pub(crate) active: u32,
    pub(crate) idle_since: Instant,
    pub(crate) pinned: bool,
}

pub(crate) struct Waiter {
    pub(crate) arrival: Arrival,
    pub(crate) since: Instant,
    overtaken: u32,
    loaded: bool,
}

pub(crate) struct EngineState {
    pub(crate) facts: Facts,
    pub(crate) residents: Vec<Resident>,
    pub(crate) queue: Vec<Waiter>,
    trust_after: u64,
}

struct Failure {
    until: Instant,
    backoff: Duration,
    message: String,
}

/// The whole state.
#[derive(Default)]
pub struct Scheduler {
    pub(crate) engines: HashMap<Arc<str>, EngineState>,
    /// Ticket to engine and model.
    pub(crate) active: HashMap<u64, (Arc<str>, Arc<str>)>,
    /// Pool to engine and model of the operation in flight.
    pub(crate) busy: HashMap<Arc<str>, (Arc<str>, Arc<str>, Instant)>,
    failures: HashMap<(Arc<str>, Arc<str>), Failure>,
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(1).clamp(1, 60)
}

// === impl EngineState ===

impl EngineState {
    fn observe(&mut self, facts: Facts, in_flight: bool, now: Instant) {
        if !in_flight && facts.load_control && facts.polls > self.trust_after {
            self.residents.retain(|r| {
                r.active > 0 || facts.residents.iter().any(|f| f.model == r.info.model)
            });
            for info in &facts.residents {
                match self
                    .residents
                    .iter_mut()
                    .find(|r| r.info.model == info.model)
                {
                    Some(known) => known.info = info.clone(),
                    None => self.residents.push(Resident {
                        info: info.clone(),
                        tuple: None,
                        active: 0,
                        idle_since: now,
                        pinned: false,
                    }),
                }
            }
        }
        self.facts = facts;
    }

    fn permits(&self, resident: &Resident, arrival: &Arrival) -> u32 {
        if arrival.kind == ModelKind::Embedding {
            return 1;
        }
        let context = arrival.tuple.context.unwrap_or(0);
        tuple::permits_within(self.facts.kind, &resident.info, context, self.facts.permits)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// One step.
    pub fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        match input {
            Input::Arrive(arrival) => self.arrive(arrival, now, actions),
            Input::Cancelled(ticket) => {
                for engine in self.engines.values_mut() {
                    engine.queue.retain(|w| w.arrival.ticket != ticket);
                }
            }
            Input::Released(ticket) => self.release(ticket, now),
            Input::Loaded(engine, info) => self.loaded(&engine, info, now),
            Input::LoadFailed(engine, model, message) => {
                self.load_failed(&engine, &model, message, now, actions);
            }
            Input::Unloaded(engine, model, ok) => {
                self.finish(&engine);
                if let Some(state) = self.engines.get_mut(&engine) {
                    state.residents.retain(|r| !ok || r.info.model != model);
                }
            }
            Input::Observed(facts) => {
                let name = Arc::clone(&facts.name);
                let in_flight = self.busy.values().any(|(e, ..)| *e == name);
                let state = self.engines.entry(name).or_insert_with(|| EngineState {
                    facts: facts.clone(),
                    residents: Vec::new(),
                    queue: Vec::new(),
                    trust_after: 0,
                });
                state.observe(facts, in_flight, now);
            }
            Input::Tick => {}
        }
        self.dispatch(now, actions);
    }

    fn arrive(&mut self, arrival: Arrival, now: Instant, actions: &mut Vec<Action>) {
        let ticket = arrival.ticket;
        let Some(state) = self.engines.get_mut(&arrival.engine) else {
            let refusal = Refusal::NoEngine {
                model: arrival.model.to_string(),
                detail: format!("'{}' is not known", arrival.engine),
                retry_after: 5,
            };
            return actions.push(Action::Reject(ticket, refusal));
        };
        state.queue.push(Waiter {
            arrival,
            since: now,
            overtaken: 0,
            loaded: false,
        });
        self.dispatch(now, actions);
        let Some(state) = self
            .engines
            .values_mut()
            .find(|s| s.queue.last().is_some_and(|w| w.arrival.ticket == ticket))
        else {
            return;
        };
        if state.queue.len() > state.facts.queue {
            state.queue.pop();
            let refusal = Refusal::QueueFull {
                engine: Arc::clone(&state.facts.name),
                limit: u32::try_from(state.facts.queue).unwrap_or(u32::MAX),
                retry_after: u64::try_from(state.facts.queue).unwrap_or(60).clamp(1, 60),
            };
            actions.push(Action::Reject(ticket, refusal));
        }
    }

    fn release(&mut self, ticket: u64, now: Instant) {
        let Some((engine, model)) = self.active.remove(&ticket) else {
            return;
        };
        let resident = self
            .engines
            .get_mut(&engine)
            .and_then(|s| s.residents.iter_mut().find(|r| r.info.model == model));
        if let Some(resident) = resident {
            resident.active = resident.active.saturating_sub(1);
            resident.idle_since = now;
        }
    }

    /// Ends the operation of an engine; a poll that may have begun before is not believed.
    fn finish(&mut self, engine: &str) {
        self.busy.retain(|_, (e, ..)| &**e != engine);
        if let Some(state) = self.engines.get_mut(engine) {
            state.trust_after = state.facts.polls + 1;
        }
    }

    fn loaded(&mut self, engine: &Arc<str>, info: ResidentInfo, now: Instant) {
        let order = self.busy.values().find(|(e, ..)| e == engine).cloned();
        self.finish(engine);
        self.failures
            .remove(&(Arc::clone(engine), Arc::clone(&info.model)));
        let (Some(state), Some((_, model, _))) = (self.engines.get_mut(engine), order) else {
            return;
        };
        let mut waiters = state.queue.iter_mut().filter(|w| w.arrival.model == model);
        let mut loaded = Resident {
            info,
            tuple: None,
            active: 0,
            idle_since: now,
            pinned: false,
        };
        loaded.info.model = model.clone();
        if let Some(first) = waiters.next() {
            loaded.tuple = Some(first.arrival.tuple);
            loaded.pinned = first.arrival.pinned;
            first.loaded = true;
        }
        loaded.tuple.get_or_insert_default();
        waiters.for_each(|w| w.loaded = true);
        state.residents.retain(|r| r.info.model != model);
        state.residents.push(loaded);
    }

    fn load_failed(
        &mut self,
        engine: &Arc<str>,
        model: &Arc<str>,
        message: Option<String>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.finish(engine);
        let key = (Arc::clone(engine), Arc::clone(model));
        let backoff = self.failures.get(&key).map_or(Duration::from_secs(2), |f| {
            (f.backoff * 2).min(Duration::from_secs(60))
        });
        let Some(state) = self.engines.get_mut(engine) else {
            return;
        };
        for w in state.queue.extract_if(.., |w| w.arrival.model == *model) {
            let refusal = match &message {
                Some(message) => Refusal::LoadFailed {
                    engine: Arc::clone(engine),
                    model: Arc::clone(model),
                    message: message.clone(),
                    retry_after: seconds(backoff),
                },
                None => Refusal::LoadTimeout {
                    engine: Arc::clone(engine),
                    model: Arc::clone(model),
                    after: state.facts.load_budget,
                },
            };
            actions.push(Action::Reject(w.arrival.ticket, refusal));
        }
        let message = message.unwrap_or_else(|| "the load took too long".to_owned());
        self.failures.insert(
            key,
            Failure {
                until: now + backoff,
                backoff,
                message,
            },
        );
    }

    fn dispatch(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Self {
            engines,
            active,
            busy,
            failures,
        } = self;
        for state in engines.values_mut() {
            let mut held: HashSet<Arc<str>> = HashSet::new();
            let mut i = 0;
            // The oldest waiter that needs another model than is resident.
            let mut swap: Option<usize> = None;
            while let Some(w) = state.queue.get(i) {
                let a = &w.arrival;
                let ticket = a.ticket;
                let wait = now.saturating_duration_since(w.since);
                if now >= a.deadline {
                    let engine = Arc::clone(&a.engine);
                    let refusal = Refusal::QueueTimeout {
                        engine,
                        waited: wait,
                        retry_after: 5,
                    };
                    actions.push(Action::Reject(ticket, refusal));
                    state.queue.remove(i);
                    continue;
                }
                if !state.facts.load_control
                    && !state.residents.iter().any(|r| r.info.model == a.model)
                {
                    let info = state.facts.residents.iter().find(|r| r.model == a.model);
                    let info = info.cloned().unwrap_or_else(|| ResidentInfo {
                        model: a.model.clone(),
                        instance: a.model.clone(),
                        kind: a.kind,
                        context: None,
                        parallel: None,
                        bytes: None,
                        vram_bytes: None,
                        expires_at: None,
                        batch_size: None,
                        flash_attention: None,
                    });
                    let (idle_since, pinned) = (now, true);
                    state.residents.push(Resident {
                        info,
                        tuple: None,
                        active: 0,
                        idle_since,
                        pinned,
                    });
                }
                let going = busy
                    .values()
                    .any(|(e, m, _)| *e == a.engine && *m == a.model);
                let at = state.residents.iter().position(|r| r.info.model == a.model);
                let facts = &state.facts;
                if let Some(at) = at.filter(|_| !going) {
                    let resident = &state.residents[at];
                    let has = tuple::request_context(facts.kind, &resident.info);
                    let owned = resident.tuple.is_some();
                    let smaller = has.zip(a.tuple.context).is_some_and(|(h, c)| h < c);
                    let reload = smaller
                        && facts.load_control
                        && (facts.kind == EngineKind::Ollama || owned || facts.evict_foreign);
                    if !reload {
                        if let Some(limit) = has.filter(|h| *h < a.need) {
                            let model = a.model.clone();
                            let refusal = Refusal::ContextExceeded {
                                model,
                                needed: a.need,
                                limit,
                            };
                            actions.push(Action::Reject(ticket, refusal));
                            state.queue.remove(i);
                            continue;
                        }
                        let late = swap.and_then(|s| state.queue.get(s)).is_some_and(|s| {
                            s.overtaken >= facts.overtake_count
                                || now.saturating_duration_since(s.since) >= facts.overtake_age
                        });
                        let free = resident.active < state.permits(resident, a);
                        if free && !late && !held.contains(&a.model) {
                            if let Some(s) = swap.and_then(|s| state.queue.get_mut(s)) {
                                s.overtaken += 1;
                            }
                            let w = state.queue.remove(i);
                            let resident = &mut state.residents[at];
                            resident.active += 1;
                            active.insert(ticket, (w.arrival.engine, w.arrival.model));
                            let info = resident.info.clone();
                            actions.push(Action::Grant(ticket, info, resident.tuple, w.loaded));
                            continue;
                        }
                        held.insert(a.model.clone());
                        i += 1;
                        continue;
                    }
                }
                let key = (a.engine.clone(), a.model.clone());
                if let Some(f) = failures.get(&key).filter(|f| now < f.until) {
                    let refusal = Refusal::LoadFailed {
                        engine: key.0,
                        model: key.1,
                        message: f.message.clone(),
                        retry_after: seconds(f.until - now),
                    };
                    actions.push(Action::Reject(ticket, refusal));
                    state.queue.remove(i);
                    continue;
                }
                held.insert(a.model.clone());
                if swap.is_none() && !busy.contains_key(&facts.pool) {
                    let count = state
                        .residents
                        .iter()
                        .filter(|r| r.info.kind == ModelKind::Generation);
                    let full = a.kind == ModelKind::Generation && count.count() >= facts.max_loaded;
                    let victim = match at {
                        Some(at) => Some(&state.residents[at]).filter(|r| r.active == 0),
                        None if full => state
                            .residents
                            .iter()
                            .filter(|r| r.active == 0 && !r.pinned)
                            .filter(|r| r.info.kind == ModelKind::Generation)
                            .filter(|r| r.tuple.is_some() || facts.evict_foreign)
                            .min_by_key(|r| r.idle_since),
                        None => None,
                    };
                    let mark = |m: &Arc<str>| (a.engine.clone(), m.clone(), now);
                    if let Some(v) = victim {
                        busy.insert(facts.pool.clone(), mark(&v.info.model));
                        actions.push(Action::Unload(a.engine.clone(), v.info.clone()));
                    } else if !full && at.is_none() {
                        busy.insert(facts.pool.clone(), mark(&a.model));
                        let load = Action::Load(key.0, key.1, a.kind, a.tuple);
                        actions.push(load);
                    } else if full
                        && at.is_none()
                        && !facts.evict_foreign
                        && state.residents.iter().all(|r| r.tuple.is_none())
                        && let Some(blocker) = state.residents.first()
                    {
                        let blocker = blocker.info.model.clone();
                        let (engine, model) = key;
                        let refusal = Refusal::Blocked {
                            engine,
                            model,
                            blocker,
                            retry_after: 30,
                        };
                        actions.push(Action::Reject(ticket, refusal));
                        state.queue.remove(i);
                        continue;
                    }
                }
                swap.get_or_insert(i);
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_share_one_load_and_a_cancelled_one_is_not_granted() {
        let now = Instant::now();
        let (mut core, mut actions) = (Scheduler::default(), Vec::new());
        let second = Duration::from_secs(1);
        let (name, model): (Arc<str>, Arc<str>) = ("e".into(), "m".into());
        let facts = Facts {
            name: name.clone(),
            kind: EngineKind::Ollama,
            pool: "cpu".into(),
            load_control: true,
            permits: 2,
            queue: 10,
            max_loaded: 2,
            evict_foreign: false,
            overtake_count: 8,
            overtake_age: second * 20,
            load_budget: second * 300,
            polls: 1,
            residents: Vec::new(),
        };
        core.step(Input::Observed(facts), now, &mut actions);
        for ticket in 1..=3 {
            let arrival = Arrival {
                ticket,
                engine: name.clone(),
                model: model.clone(),
                kind: ModelKind::Generation,
                need: 10,
                tuple: Tuple::default(),
                pinned: false,
                deadline: now + second * 300,
            };
            core.step(Input::Arrive(arrival), now, &mut actions);
        }
        assert!(matches!(actions[..], [Action::Load(..)]), "{actions:?}");
        core.step(Input::Cancelled(1), now, &mut actions);
        let info = ResidentInfo {
            model: model.clone(),
            instance: model,
            kind: ModelKind::Generation,
            context: None,
            parallel: None,
            bytes: None,
            vram_bytes: None,
            expires_at: None,
            batch_size: None,
            flash_attention: None,
        };
        core.step(Input::Loaded(name, info), now, &mut actions);
        assert!(
            matches!(actions[1..], [Action::Grant(2, ..), Action::Grant(3, ..)]),
            "{actions:?}"
        );
    }
}
