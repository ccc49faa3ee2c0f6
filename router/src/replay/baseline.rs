//! Two simple policies to compare with, on the same machine and within the same limits.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{machine::SimulatedMachine, simulation::SchedulingPolicy};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    refusal::Refusal,
    scheduler::{Action, EngineFacts, Input, LoadCommand, PermitGrant, PermitRequest},
};

/// The order in which a [`BaselinePolicy`] serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceOrder {
    /// First come, first served within a pool; nobody overtakes.
    Strict,
    /// Everything for what is loaded first: a swap waits until nobody needs the victim (as
    /// llama-swap's and llama.cpp's routers do).
    Collate,
}

/// A policy without bounds on overtaking. It evicts the resident that is idle longest.
pub struct BaselinePolicy {
    order: ServiceOrder,
    budgets: BTreeMap<Arc<str>, u64>,
    sizes: BTreeMap<(Arc<str>, Arc<str>), u64>,
    engines: BTreeMap<Arc<str>, EngineFacts>,
    residents: Vec<BaselineResident>,
    /// The waiting requests, in order of arrival.
    queue: Vec<BaselineWaiter>,
    /// The load or unload in flight, by pool.
    operations: BTreeMap<Arc<str>, BaselineOperation>,
    /// Ticket to engine and model.
    active: BTreeMap<u64, (Arc<str>, Arc<str>)>,
}

struct BaselineResident {
    engine: Arc<str>,
    info: ResidentInfo,
    pinned: bool,
    active: u32,
    idle_since: Instant,
}

struct BaselineWaiter {
    request: Arc<PermitRequest>,
    since: Instant,
    loaded: bool,
}

/// The reason why a model does not fit.
#[derive(Clone, Copy)]
enum MissingRoom {
    Place,
    Memory,
}

struct BaselineOperation {
    engine: Arc<str>,
    model: Arc<str>,
    exclusive: bool,
    unload: bool,
    pinned: bool,
}

// === impl SchedulingPolicy ===

impl SchedulingPolicy for BaselinePolicy {
    fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        match input {
            Input::Fleet(fleet) => {
                self.engines = fleet
                    .into_iter()
                    .map(|f| (Arc::clone(&f.name), f))
                    .collect();
            }
            Input::Arrive(request) => return self.arrive(request, now, actions),
            Input::Released(ticket) | Input::ReleasedForTools(ticket) => self.release(ticket, now),
            Input::Loaded(engine, info) => self.loaded(&engine, info, now),
            Input::Unloaded(engine, _) => self.unloaded(&engine),
            _ => {}
        }
        self.dispatch(now, actions);
    }

    fn next_deadline(&self, _: Instant) -> Option<Instant> {
        self.queue.iter().map(|w| w.request.deadline).min()
    }
}

// === impl BaselinePolicy ===

impl BaselinePolicy {
    /// A policy for that machine.
    pub fn new(order: ServiceOrder, machine: &SimulatedMachine) -> Self {
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

    fn arrive(&mut self, request: Arc<PermitRequest>, now: Instant, actions: &mut Vec<Action>) {
        let (ticket, engine, kind) = (request.ticket, Arc::clone(&request.engine), request.kind);
        let limit = self.engines.get(&engine).map_or(0, |f| f.queue_limit);
        let lane = |w: &&BaselineWaiter| w.request.engine == engine && w.request.kind == kind;
        let waiting = self.queue.iter().filter(lane).count();
        self.queue.push(BaselineWaiter {
            request,
            since: now,
            loaded: false,
        });
        self.grant(now, actions);
        let left = self
            .queue
            .last()
            .is_some_and(|w| w.request.ticket == ticket);
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
        let own = |h: &&mut BaselineResident| h.engine == engine && h.info.model == model;
        if let Some(held) = self.residents.iter_mut().find(own) {
            held.active = held.active.saturating_sub(1);
            held.idle_since = now;
        }
    }

    fn finish(&mut self, engine: &str) -> Option<BaselineOperation> {
        let mut operations = self.operations.iter();
        let (pool, _) = operations.find(|(_, o)| *o.engine == *engine)?;
        let pool = Arc::clone(pool);
        self.operations.remove(&pool)
    }

    fn loaded(&mut self, engine: &Arc<str>, info: ResidentInfo, now: Instant) {
        let operation = self.finish(engine);
        for waiter in &mut self.queue {
            let own = waiter.request.engine == *engine && waiter.request.model == info.model;
            waiter.loaded |= own;
        }
        self.residents.push(BaselineResident {
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
        let expired = |w: &mut BaselineWaiter| w.request.deadline <= now;
        for waiter in self.queue.extract_if(.., expired) {
            let refusal = Refusal::QueueTimeout {
                engine: Arc::clone(&waiter.request.engine),
                waited: now.saturating_duration_since(waiter.since),
                retry_after: 1,
            };
            actions.push(Action::Reject(waiter.request.ticket, refusal));
        }
        self.grant(now, actions);
        self.operate(actions);
    }

    fn grant(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut held = Vec::new();
        let mut at = 0;
        while let Some(waiter) = self.queue.get(at) {
            let line = self.line(&waiter.request);
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

    /// Returns the key of the queue that a request waits in: one for each pool, or one for each
    /// model.
    fn line(&self, request: &PermitRequest) -> (Arc<str>, Arc<str>, ModelKind) {
        let facts = self.engines.get(&request.engine);
        match self.order {
            ServiceOrder::Strict => {
                let pool = facts.map_or_else(|| Arc::clone(&request.engine), |f| f.pool.clone());
                (pool, Arc::from(""), request.kind)
            }
            ServiceOrder::Collate => (
                Arc::clone(&request.engine),
                Arc::clone(&request.model),
                request.kind,
            ),
        }
    }

    /// The resident with a permit for that waiter.
    fn free(&mut self, at: usize, now: Instant) -> Option<usize> {
        let request = &self.queue.get(at)?.request;
        let facts = self.engines.get(&request.engine)?;
        let own =
            |h: &BaselineResident| h.engine == request.engine && h.info.model == request.model;
        let found = self.residents.iter().position(own);
        if found.is_none() && !facts.load_control {
            // It loads what it is asked for, and nobody sees it.
            let info = ResidentInfo::named(Arc::clone(&request.model), request.kind);
            self.residents.push(BaselineResident {
                engine: Arc::clone(&request.engine),
                info,
                pinned: true,
                active: 0,
                idle_since: now,
            });
            return Some(self.residents.len() - 1);
        }
        let permits = match request.kind {
            ModelKind::Generation => facts.permits_per_resident,
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

    fn give(&mut self, waiter: &BaselineWaiter, resident: usize) -> Action {
        let held = &mut self.residents[resident];
        held.active += 1;
        let place = (Arc::clone(&held.engine), Arc::clone(&held.info.model));
        self.active.insert(waiter.request.ticket, place);
        Action::Grant(PermitGrant {
            ticket: waiter.request.ticket,
            resident: held.info.clone(),
            tuple: waiter.request.tuple,
            context_share: None,
            waited_for_load: waiter.loaded,
        })
    }

    /// Starts a load or unload for the first of each line that needs one.
    fn operate(&mut self, actions: &mut Vec<Action>) {
        let mut seen = Vec::new();
        for at in 0..self.queue.len() {
            let request = self.queue[at].request.clone();
            let line = self.line(&request);
            let Some(facts) = self.engines.get(&request.engine) else {
                continue;
            };
            let pool = Arc::clone(&facts.pool);
            if seen.contains(&line) || self.operations.contains_key(&pool) {
                continue;
            }
            seen.push(line);
            let exclusive = facts.exclusive || self.operations.values().any(|o| o.exclusive);
            let own =
                |h: &BaselineResident| h.engine == request.engine && h.info.model == request.model;
            if self.residents.iter().any(own) || (exclusive && !self.operations.is_empty()) {
                continue;
            }
            let operation = |engine: &Arc<str>, model: &Arc<str>, unload| BaselineOperation {
                engine: Arc::clone(engine),
                model: Arc::clone(model),
                exclusive: facts.exclusive,
                unload,
                pinned: request.pin,
            };
            let operation = if let Some(lacks) = self.lacks(facts, &request) {
                let Some(victim) = self.victim(facts, lacks) else {
                    continue;
                };
                let (engine, info) = (&victim.engine, victim.info.clone());
                actions.push(Action::Unload(Arc::clone(engine), info));
                operation(engine, &victim.info.model, true)
            } else {
                actions.push(Action::Load(order(facts, &request)));
                operation(&request.engine, &request.model, false)
            };
            self.operations.insert(pool, operation);
        }
    }

    /// Returns the reason why a load is not possible now; `None` where it is.
    fn lacks(&self, facts: &EngineFacts, request: &PermitRequest) -> Option<MissingRoom> {
        let counted =
            |h: &&BaselineResident| h.engine == facts.name && h.info.kind == ModelKind::Generation;
        let count = self.residents.iter().filter(counted).count();
        if request.kind == ModelKind::Generation && count >= facts.max_loaded_models {
            return Some(MissingRoom::Place);
        }
        let budget = *self.budgets.get(&facts.pool)?;
        let held = self.residents.iter().filter(|h| self.in_pool(h, facts));
        let used: u64 = held.filter_map(|h| h.info.bytes).sum();
        let place = (Arc::clone(&request.engine), Arc::clone(&request.model));
        let size = self.sizes.get(&place).copied().unwrap_or(0);
        // What is larger than the whole budget is left to the engine.
        (used > 0 && used.saturating_add(size) > budget).then_some(MissingRoom::Memory)
    }

    fn in_pool(&self, held: &BaselineResident, facts: &EngineFacts) -> bool {
        let other = self.engines.get(&held.engine);
        other.is_some_and(|other| other.pool == facts.pool)
    }

    fn victim(&self, facts: &EngineFacts, lack: MissingRoom) -> Option<&BaselineResident> {
        let fitting = |h: &&BaselineResident| {
            !h.pinned
                && h.active == 0
                && match lack {
                    MissingRoom::Place => {
                        h.engine == facts.name && h.info.kind == ModelKind::Generation
                    }
                    MissingRoom::Memory => self.in_pool(h, facts),
                }
        };
        let idle = self.residents.iter().filter(fitting);
        idle.min_by_key(|h| h.idle_since)
    }
}

fn order(facts: &EngineFacts, request: &PermitRequest) -> LoadCommand {
    LoadCommand {
        engine: Arc::clone(&request.engine),
        model: Arc::clone(&request.model),
        name: Arc::clone(&request.name),
        kind: request.kind,
        tuple: request.tuple,
        configured_context: Some(request.configured_context),
        needed_context: None,
        permits: facts.permits_per_resident,
        timeout: facts.load_timeout,
        pin: request.pin,
        over_budget_bytes: None,
        trigger: request.trigger,
    }
}
