//! Two simple policies to compare with, on the same machine and the same bounds.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{drive::Policy, machine::Machine};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    refusal::Refusal,
    scheduler::types::{Action, Arrival, Facts, Grant, Input, Order as LoadOrder},
};

/// In which order a [`Baseline`] serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Whoever came first in a pool, one after the other; nobody overtakes.
    Strict,
    /// Everything for what is resident first; a swap waits until nobody needs the victim
    /// (llama-swap's and llama.cpp's router).
    Collate,
}

/// A policy without bounds on overtaking. Evicts the resident that is idle longest.
pub struct Baseline {
    order: Order,
    budgets: BTreeMap<Arc<str>, u64>,
    sizes: BTreeMap<(Arc<str>, Arc<str>), u64>,
    engines: BTreeMap<Arc<str>, Facts>,
    residents: Vec<Held>,
    /// In order of arrival.
    queue: Vec<Waiter>,
    /// By pool.
    operations: BTreeMap<Arc<str>, Operation>,
    /// Ticket to engine and model.
    active: BTreeMap<u64, (Arc<str>, Arc<str>)>,
}

struct Held {
    engine: Arc<str>,
    info: ResidentInfo,
    pinned: bool,
    active: u32,
    idle_since: Instant,
}

struct Waiter {
    arrival: Arc<Arrival>,
    since: Instant,
    loaded: bool,
}

/// Why a model does not fit.
#[derive(Clone, Copy)]
enum Lack {
    Place,
    Memory,
}

struct Operation {
    engine: Arc<str>,
    model: Arc<str>,
    exclusive: bool,
    unload: bool,
    pinned: bool,
}

// === impl Policy ===

impl Policy for Baseline {
    fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        match input {
            Input::Fleet(fleet) => {
                self.engines = fleet
                    .into_iter()
                    .map(|f| (Arc::clone(&f.name), f))
                    .collect();
            }
            Input::Arrive(arrival) => return self.arrive(arrival, now, actions),
            Input::Released(ticket) | Input::ReleasedForTools(ticket) => self.release(ticket, now),
            Input::Loaded(engine, info) => self.loaded(&engine, info, now),
            Input::Unloaded(engine, _) => self.unloaded(&engine),
            _ => {}
        }
        self.dispatch(now, actions);
    }

    fn next_deadline(&self, _: Instant) -> Option<Instant> {
        self.queue.iter().map(|w| w.arrival.deadline).min()
    }
}

// === impl Baseline ===

impl Baseline {
    /// A policy for that machine.
    pub fn new(order: Order, machine: &Machine) -> Self {
        let sizes = machine.engines.iter().flat_map(|engine| {
            engine.models.iter().map(|model| {
                let place = (Arc::clone(&engine.name), Arc::clone(&model.name));
                (place, model.bytes.unwrap_or(0))
            })
        });
        Self {
            order,
            budgets: machine.budgets(),
            sizes: sizes.collect(),
            engines: BTreeMap::new(),
            residents: Vec::new(),
            queue: Vec::new(),
            operations: BTreeMap::new(),
            active: BTreeMap::new(),
        }
    }

    fn arrive(&mut self, arrival: Arc<Arrival>, now: Instant, actions: &mut Vec<Action>) {
        let (ticket, engine, kind) = (arrival.ticket, Arc::clone(&arrival.engine), arrival.kind);
        let limit = self.engines.get(&engine).map_or(0, |f| f.queue);
        let lane = |w: &&Waiter| w.arrival.engine == engine && w.arrival.kind == kind;
        let waiting = self.queue.iter().filter(lane).count();
        self.queue.push(Waiter {
            arrival,
            since: now,
            loaded: false,
        });
        self.grant(now, actions);
        let left = self
            .queue
            .last()
            .is_some_and(|w| w.arrival.ticket == ticket);
        if left && waiting >= limit {
            self.queue.pop();
            let refusal = Refusal::QueueFull {
                engine,
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
                own: 0,
                retry_after: 1,
            };
            actions.push(Action::Reject(ticket, refusal));
        }
        self.dispatch(now, actions);
    }

    fn release(&mut self, ticket: u64, now: Instant) {
        let Some((engine, model)) = self.active.remove(&ticket) else {
            return;
        };
        let own = |h: &&mut Held| h.engine == engine && h.info.model == model;
        if let Some(held) = self.residents.iter_mut().find(own) {
            held.active = held.active.saturating_sub(1);
            held.idle_since = now;
        }
    }

    fn finish(&mut self, engine: &str) -> Option<Operation> {
        let mut operations = self.operations.iter();
        let (pool, _) = operations.find(|(_, o)| *o.engine == *engine)?;
        let pool = Arc::clone(pool);
        self.operations.remove(&pool)
    }

    fn loaded(&mut self, engine: &Arc<str>, info: ResidentInfo, now: Instant) {
        let operation = self.finish(engine);
        for waiter in &mut self.queue {
            let own = waiter.arrival.engine == *engine && waiter.arrival.model == info.model;
            waiter.loaded |= own;
        }
        self.residents.push(Held {
            engine: Arc::clone(engine),
            info,
            pinned: operation.is_some_and(|o| o.pinned),
            active: 0,
            idle_since: now,
        });
    }

    fn unloaded(&mut self, engine: &Arc<str>) {
        if let Some(operation) = self.finish(engine) {
            self.residents
                .retain(|h| h.engine != *engine || h.info.model != operation.model);
        }
    }

    fn dispatch(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let expired = |w: &mut Waiter| w.arrival.deadline <= now;
        for waiter in self.queue.extract_if(.., expired) {
            let refusal = Refusal::QueueTimeout {
                engine: Arc::clone(&waiter.arrival.engine),
                waited: now.saturating_duration_since(waiter.since),
                retry_after: 1,
            };
            actions.push(Action::Reject(waiter.arrival.ticket, refusal));
        }
        self.grant(now, actions);
        self.operate(actions);
    }

    fn grant(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut held = Vec::new();
        let mut at = 0;
        while let Some(waiter) = self.queue.get(at) {
            let line = self.line(&waiter.arrival);
            if held.contains(&line) {
                at += 1;
            } else if let Some(resident) = self.free(at, now) {
                let waiter = self.queue.remove(at);
                actions.push(self.give(&waiter, resident));
            } else {
                held.push(line);
                at += 1;
            }
        }
    }

    /// Who stands in the same line: all of a pool, or all of a model.
    fn line(&self, arrival: &Arrival) -> (Arc<str>, Arc<str>, ModelKind) {
        let facts = self.engines.get(&arrival.engine);
        match self.order {
            Order::Strict => {
                let pool = facts.map_or_else(|| Arc::clone(&arrival.engine), |f| f.pool.clone());
                (pool, Arc::from(""), arrival.kind)
            }
            Order::Collate => (
                Arc::clone(&arrival.engine),
                Arc::clone(&arrival.model),
                arrival.kind,
            ),
        }
    }

    /// The resident with a permit for that waiter.
    fn free(&mut self, at: usize, now: Instant) -> Option<usize> {
        let arrival = &self.queue.get(at)?.arrival;
        let facts = self.engines.get(&arrival.engine)?;
        let own = |h: &Held| h.engine == arrival.engine && h.info.model == arrival.model;
        let found = self.residents.iter().position(own);
        if found.is_none() && !facts.load_control {
            // It loads what it is asked for, and nobody sees it.
            let info = ResidentInfo::named(Arc::clone(&arrival.model), arrival.kind);
            self.residents.push(Held {
                engine: Arc::clone(&arrival.engine),
                info,
                pinned: true,
                active: 0,
                idle_since: now,
            });
            return Some(self.residents.len() - 1);
        }
        let permits = match arrival.kind {
            ModelKind::Generation => facts.permits,
            ModelKind::Embedding => 1,
        };
        found.filter(|at| {
            let held = &self.residents[*at];
            let leaves = self
                .operations
                .values()
                .any(|o| o.unload && o.engine == held.engine && o.model == held.info.model);
            held.active < permits && !leaves
        })
    }

    fn give(&mut self, waiter: &Waiter, resident: usize) -> Action {
        let held = &mut self.residents[resident];
        held.active += 1;
        let place = (Arc::clone(&held.engine), Arc::clone(&held.info.model));
        self.active.insert(waiter.arrival.ticket, place);
        Action::Grant(Grant {
            ticket: waiter.arrival.ticket,
            info: held.info.clone(),
            tuple: waiter.arrival.tuple,
            loaded: waiter.loaded,
        })
    }

    /// Starts a load or unload for the first of each line that needs one.
    fn operate(&mut self, actions: &mut Vec<Action>) {
        let mut seen = Vec::new();
        for at in 0..self.queue.len() {
            let arrival = self.queue[at].arrival.clone();
            let line = self.line(&arrival);
            let Some(facts) = self.engines.get(&arrival.engine) else {
                continue;
            };
            let pool = Arc::clone(&facts.pool);
            if seen.contains(&line) || self.operations.contains_key(&pool) {
                continue;
            }
            seen.push(line);
            let exclusive = facts.exclusive || self.operations.values().any(|o| o.exclusive);
            let own = |h: &Held| h.engine == arrival.engine && h.info.model == arrival.model;
            if self.residents.iter().any(own) || (exclusive && !self.operations.is_empty()) {
                continue;
            }
            let operation = |engine: &Arc<str>, model: &Arc<str>, unload| Operation {
                engine: Arc::clone(engine),
                model: Arc::clone(model),
                exclusive: facts.exclusive,
                unload,
                pinned: arrival.pinned,
            };
            let operation = if let Some(lacks) = self.lacks(facts, &arrival) {
                let Some(victim) = self.victim(facts, lacks) else {
                    continue;
                };
                let (engine, info) = (&victim.engine, victim.info.clone());
                actions.push(Action::Unload(Arc::clone(engine), info));
                operation(engine, &victim.info.model, true)
            } else {
                actions.push(Action::Load(order(facts, &arrival)));
                operation(&arrival.engine, &arrival.model, false)
            };
            self.operations.insert(pool, operation);
        }
    }

    /// What stands against a load.
    fn lacks(&self, facts: &Facts, arrival: &Arrival) -> Option<Lack> {
        let counted = |h: &&Held| h.engine == facts.name && h.info.kind == ModelKind::Generation;
        let count = self.residents.iter().filter(counted).count();
        if arrival.kind == ModelKind::Generation && count >= facts.max_loaded {
            return Some(Lack::Place);
        }
        let budget = *self.budgets.get(&facts.pool)?;
        let held = self.residents.iter().filter(|h| self.in_pool(h, facts));
        let used: u64 = held.filter_map(|h| h.info.bytes).sum();
        let place = (Arc::clone(&arrival.engine), Arc::clone(&arrival.model));
        let size = self.sizes.get(&place).copied().unwrap_or(0);
        // What is larger than the whole budget is left to the engine.
        (used > 0 && used.saturating_add(size) > budget).then_some(Lack::Memory)
    }

    fn in_pool(&self, held: &Held, facts: &Facts) -> bool {
        let other = self.engines.get(&held.engine);
        other.is_some_and(|other| other.pool == facts.pool)
    }

    fn victim(&self, facts: &Facts, lack: Lack) -> Option<&Held> {
        let fitting = |h: &&Held| {
            !h.pinned
                && h.active == 0
                && match lack {
                    Lack::Place => h.engine == facts.name && h.info.kind == ModelKind::Generation,
                    Lack::Memory => self.in_pool(h, facts),
                }
        };
        let idle = self.residents.iter().filter(fitting);
        idle.min_by_key(|h| h.idle_since)
    }
}

fn order(facts: &Facts, arrival: &Arrival) -> LoadOrder {
    LoadOrder {
        engine: Arc::clone(&arrival.engine),
        model: Arc::clone(&arrival.model),
        name: Arc::clone(&arrival.name),
        kind: arrival.kind,
        tuple: arrival.tuple,
        configured: Some(arrival.configured),
        needed: None,
        permits: facts.permits,
        budget: facts.load_budget,
        pinned: arrival.pinned,
        over_budget: None,
        trigger: arrival.trigger,
    }
}
