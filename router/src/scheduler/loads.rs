//! Models in and out: which load or unload starts next, and what its end means.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    dispatch::Standing,
    fit::{limit, size},
    queue::retry_after,
    state::{EngineState, Operation, Resident, Retry, Scheduler, Work, evicted},
    types::{Action, Arrival, LoadFailure, Order},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    event::{Event, EvictionReason, LoadOutcome, LoadTrigger},
    refusal::Refusal,
};

/// First wait after a failure; doubles.
const BACKOFF_MIN: Duration = Duration::from_secs(2);
/// Longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

enum Step {
    Load,
    Unload(usize, EvictionReason),
}

fn next_backoff(before: Duration) -> Duration {
    (before * 2).clamp(BACKOFF_MIN, BACKOFF_MAX)
}

// === impl Operation ===

impl Operation {
    /// It unloads this instance.
    pub(super) fn unloads(&self, instance: &str) -> bool {
        matches!(&self.work, Work::Unload { instance: i, .. } if **i == *instance)
    }
}

// === impl Resident ===

impl Resident {
    /// Idle, and not in the backoff of an unload that failed.
    fn may_go(&self, now: Instant) -> bool {
        let retried = self.unload.not_before.is_none_or(|at| at <= now);
        self.active == 0 && retried
    }
}

// === impl EngineState ===

impl EngineState {
    /// The first waiters of both lanes that need an operation, with what it would be; `None` while
    /// what must go is busy.
    fn wants(&self, scheduler: &Scheduler, now: Instant) -> Vec<(&Arrival, Option<Step>)> {
        let operation = scheduler.operation_of(&self.facts.name);
        let mut wants = Vec::new();
        let mut held: Vec<&Arc<str>> = Vec::new();
        for kind in [ModelKind::Generation, ModelKind::Embedding] {
            for waiter in self.queue.iter().filter(|w| w.arrival.kind == kind) {
                let arrival = &waiter.arrival;
                if held.contains(&&arrival.model) {
                    continue;
                }
                held.push(&arrival.model);
                let place = (Arc::clone(&self.facts.name), Arc::clone(&arrival.model));
                let mark = scheduler.marks.get(&place).copied().unwrap_or_default();
                let step = match self.stands(arrival, operation, mark, now) {
                    Standing::Load => Some(Step::Load),
                    Standing::Swap => self.victim(now),
                    Standing::Resize(at) => {
                        let idle = self.residents[at].may_go(now);
                        idle.then_some(Step::Unload(at, EvictionReason::Resize))
                    }
                    _ => continue,
                };
                wants.push((arrival, step));
                break;
            }
        }
        wants
    }

    fn victim(&self, now: Instant) -> Option<Step> {
        let candidates = self.residents.iter().enumerate();
        let (at, _) = candidates
            .filter(|(_, r)| self.evictable(r) && r.may_go(now))
            .min_by_key(|(_, r)| r.idle_since)?;
        Some(Step::Unload(at, EvictionReason::Limit))
    }

    /// The largest need of all who wait for a model: it is loaded once for all of them.
    fn need_of(&self, model: &str) -> u64 {
        let own = self.queue.iter().map(|w| &w.arrival);
        own.filter(|a| *a.model == *model && a.need <= limit(a))
            .map(|a| a.need)
            .max()
            .unwrap_or(0)
    }

    fn order(&self, arrival: &Arrival, remembered: u64) -> Order {
        let mut tuple = arrival.tuple;
        if tuple.context.is_some() {
            let need = self.need_of(&arrival.model);
            let cap = limit(arrival);
            tuple.context = Some(size(need, arrival.base, cap, remembered));
        }
        Order {
            engine: Arc::clone(&arrival.engine),
            model: Arc::clone(&arrival.model),
            kind: arrival.kind,
            tuple,
            permits: match arrival.kind {
                ModelKind::Generation => self.facts.permits,
                ModelKind::Embedding => 1,
            },
            budget: self.facts.load_budget,
            pinned: arrival.pinned,
            trigger: arrival.trigger,
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    fn may_operate(&self, state: &EngineState) -> bool {
        let facts = &state.facts;
        let others = !self.operations.is_empty();
        let exclusive = facts.exclusive || self.operations.values().any(|o| o.exclusive);
        !self.operations.contains_key(&facts.pool)
            && self.operation_of(&facts.name).is_none()
            && !(exclusive && others)
    }

    /// Starts what can start, oldest waiter first over all engines.
    pub(super) fn start_operations(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut wants: Vec<(u64, Arc<str>, Arrival, Option<Step>)> = Vec::new();
        for (name, state) in self.engines.iter().filter(|(_, s)| !s.queue.is_empty()) {
            for (arrival, step) in state.wants(self, now) {
                wants.push((arrival.ticket, Arc::clone(name), arrival.clone(), step));
            }
        }
        wants.sort_by_key(|(ticket, ..)| *ticket);
        for (_, name, arrival, step) in wants {
            let (Some(state), Some(step)) = (self.engines.get(&name), step) else {
                continue;
            };
            if !self.may_operate(state) {
                if state.facts.exclusive && !self.operations.contains_key(&state.facts.pool) {
                    // Else loads of other pools could follow each other for ever.
                    return;
                }
                continue;
            }
            self.start(&arrival, &step, now, actions);
        }
    }

    fn start(&mut self, arrival: &Arrival, step: &Step, now: Instant, actions: &mut Vec<Action>) {
        let Some(state) = self.engines.get(&arrival.engine) else {
            return;
        };
        let place = (Arc::clone(&arrival.engine), Arc::clone(&arrival.model));
        let mark = self.marks.entry(place).or_default();
        let (model, work) = match step {
            Step::Load => {
                let order = state.order(arrival, mark.context);
                mark.context = mark.context.max(order.tuple.context.unwrap_or(0));
                actions.push(Action::Load(order.clone()));
                (Arc::clone(&arrival.model), Work::Load(order))
            }
            Step::Unload(at, reason) => {
                let info = state.residents[*at].info.clone();
                if *reason == EvictionReason::Resize {
                    mark.grown = Some(now);
                }
                let instance = Arc::clone(&info.instance);
                let model = Arc::clone(&info.model);
                actions.push(Action::Unload(Arc::clone(&arrival.engine), info));
                let reason = *reason;
                (model, Work::Unload { instance, reason })
            }
        };
        let operation = Operation {
            engine: Arc::clone(&arrival.engine),
            model,
            since: now,
            exclusive: state.facts.exclusive,
            work,
        };
        self.operations
            .insert(Arc::clone(&state.facts.pool), operation);
    }

    pub(super) fn loaded(
        &mut self,
        engine: &Arc<str>,
        info: ResidentInfo,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(operation) = self.finish(engine) else {
            return;
        };
        let took = now.saturating_duration_since(operation.since);
        let Work::Load(order) = operation.work else {
            return;
        };
        let place = (Arc::clone(engine), Arc::clone(&order.model));
        actions.push(ended(&order, LoadOutcome::Ok, took));
        self.failures.remove(&place);
        self.load_times.insert(place.clone(), took);
        let Some(state) = self.engines.get_mut(engine) else {
            return;
        };
        let mut resident = Resident::new(info, now);
        resident.info.model = Arc::clone(&order.model);
        resident.info.kind = order.kind;
        resident.tuple = Some(order.tuple);
        resident.pinned = order.pinned;
        let mark = self.marks.entry(place).or_default();
        let has = state.room(&resident);
        if has.zip(order.tuple.context).is_some_and(|(h, c)| h < c) {
            // The engine gave what it could: to ask again would end the same way.
            mark.grown = Some(now);
            mark.context = has.unwrap_or(0);
        }
        let same = |r: &Resident| r.info.instance == resident.info.instance;
        state.residents.retain(|r| !same(r));
        state.residents.push(resident);
        for waiter in &mut state.queue {
            waiter.loaded |= waiter.arrival.model == order.model;
        }
    }

    pub(super) fn load_failed(
        &mut self,
        engine: &Arc<str>,
        failure: LoadFailure,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(operation) = self.finish(engine) else {
            return;
        };
        let took = now.saturating_duration_since(operation.since);
        let Work::Load(order) = operation.work else {
            return;
        };
        let outcome = match failure {
            LoadFailure::Refused(_) => LoadOutcome::Error,
            LoadFailure::Timeout => LoadOutcome::Timeout,
        };
        actions.push(ended(&order, outcome, took));
        let place = (Arc::clone(engine), Arc::clone(&order.model));
        let before = self.failures.get(&place).map(|f| f.backoff);
        let backoff = next_backoff(before.unwrap_or_default());
        if let Some(state) = self.engines.get_mut(engine) {
            let own = |w: &mut super::state::Waiter| w.arrival.model == order.model;
            for waiter in state.queue.extract_if(.., own) {
                let (engine, model) = place.clone();
                let refusal = match &failure {
                    LoadFailure::Refused(message) => Refusal::LoadFailed {
                        engine,
                        model,
                        message: message.clone(),
                        retry_after: retry_after(backoff),
                    },
                    LoadFailure::Timeout => Refusal::LoadTimeout {
                        engine,
                        model,
                        after: order.budget,
                    },
                };
                actions.push(Action::Reject(waiter.arrival.ticket, refusal));
            }
        }
        let message = match failure {
            LoadFailure::Refused(message) => message,
            LoadFailure::Timeout => format!("the load did not end in {:?}", order.budget),
        };
        self.failures.insert(
            place,
            super::state::Failure {
                until: now + backoff,
                backoff,
                message,
            },
        );
    }

    pub(super) fn unloaded(
        &mut self,
        engine: &Arc<str>,
        gone: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(operation) = self.finish(engine) else {
            return;
        };
        let Work::Unload { instance, reason } = operation.work else {
            return;
        };
        let Some(state) = self.engines.get_mut(engine) else {
            return;
        };
        if let Some(resident) = state
            .residents
            .iter_mut()
            .find(|r| r.info.instance == instance)
            && !gone
        {
            let backoff = next_backoff(resident.unload.backoff);
            resident.unload = Retry {
                not_before: Some(now + backoff),
                backoff,
            };
            if reason == EvictionReason::Resize {
                // It did not grow, so it may be tried again.
                let place = (Arc::clone(engine), operation.model);
                self.marks.entry(place).or_default().grown = None;
            }
            return;
        }
        state.residents.retain(|r| r.info.instance != instance);
        actions.push(evicted(engine, &operation.model, reason));
    }

    fn leaves_with_us(&self, state: &EngineState, resident: &Resident) -> bool {
        let unload = self.draining == Some(true) && resident.active == 0;
        resident.tuple.is_some() && (state.facts.spawned || unload)
    }

    /// Something of ours is still resident and worth a try.
    pub(super) fn any_to_unload(&self) -> bool {
        self.engines.values().any(|state| {
            let tried = |r: &Resident| r.unload.not_before.is_some();
            let mut residents = state.residents.iter();
            residents.any(|r| self.leaves_with_us(state, r) && !tried(r))
        })
    }

    /// At the end, what Crucible loaded goes; a child always.
    pub(super) fn unload_all(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut orders = Vec::new();
        for (name, state) in &self.engines {
            let mut residents = state.residents.iter();
            if let Some(resident) = residents
                .find(|r| self.leaves_with_us(state, r) && r.unload.not_before.is_none())
                .map(|r| r.info.clone())
            {
                orders.push((Arc::clone(name), resident));
            }
        }
        for (name, info) in orders {
            let Some(state) = self.engines.get(&name).filter(|s| self.may_operate(s)) else {
                continue;
            };
            let operation = Operation {
                engine: Arc::clone(&name),
                model: Arc::clone(&info.model),
                since: now,
                exclusive: state.facts.exclusive,
                work: Work::Unload {
                    instance: Arc::clone(&info.instance),
                    reason: EvictionReason::Exit,
                },
            };
            self.operations
                .insert(Arc::clone(&state.facts.pool), operation);
            actions.push(Action::Unload(name, info));
        }
    }
}

fn ended(order: &Order, outcome: LoadOutcome, took: Duration) -> Action {
    let trigger: LoadTrigger = order.trigger;
    Action::Tell(Event::Load {
        engine: Arc::clone(&order.engine),
        model: Arc::clone(&order.model),
        outcome,
        trigger,
        took,
    })
}
