//! The start of loads and unloads.
//!
//! At most one operation is in flight per pool. In each step the candidates for a load are looked at in
//! the order of their priority: what room was made for, pinned models that vanished, then queues
//! (interactive before background). A candidate that fits is loaded; one that does not has one idle
//! resident unloaded and gets the room that this makes. Behind a candidate that waits for something
//! busy only loads that fit may start, and none of those once it has waited `overtake_age`.

use std::{sync::Arc, time::Instant};

use super::{
    context_size::PlannedLoad,
    engine_state::EngineState,
    limit_scope::LimitScope,
    load_candidates::{LoadCandidate, LoadRequester, RESERVED},
    model_key::Reservation,
    model_queue::ModelQueue,
    pool_operation::{OperationKind, PoolOperation},
    resident_match::ResidentMatch,
    state::Scheduler,
};
use crate::{
    event::EvictionReason,
    scheduler::messages::{Action, LoadCommand, PermitRequest},
};

/// The pools in which an earlier candidate leaves less than everything to later ones.
#[derive(Default)]
struct PoolRestrictions {
    /// Pools in which nothing more may be evicted in this step.
    no_eviction: Vec<Arc<str>>,
    /// Pools in which nothing more may start in this step.
    no_start: Vec<Arc<str>>,
}

/// A resident to be unloaded, by the positions of its engine and of itself, and the reason.
type Victim = (usize, usize, EvictionReason);

// === impl PoolRestrictions ===

impl PoolRestrictions {
    /// Whether nothing may start in this pool, or nothing that evicts.
    fn forbid(&self, pool: &Arc<str>, evicts: bool) -> bool {
        self.no_start.contains(pool) || evicts && self.no_eviction.contains(pool)
    }
}

// === impl EngineState ===

impl EngineState {
    /// The command that loads a model as planned; `budget` is what its pool may have in bytes.
    fn load_command(
        &self,
        request: &PermitRequest,
        planned: PlannedLoad,
        budget: Option<u64>,
    ) -> LoadCommand {
        let mut tuple = request.tuple;
        tuple.context = tuple.context.map(|_| planned.context);
        LoadCommand {
            engine: Arc::clone(&request.engine),
            model: Arc::clone(&request.model),
            name: Arc::clone(&request.name),
            kind: request.kind,
            tuple,
            configured_context: Some(request.configured_context),
            needed_context: None,
            permits: planned.permits,
            timeout: self.facts.load_timeout,
            pin: request.pin,
            over_budget_bytes: planned.bytes.filter(|b| budget.is_some_and(|has| *b > has)),
            trigger: request.trigger,
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Whether no operation is in flight that excludes one of this engine: of its pool, of the engine
    /// itself, or of another pool where either is exclusive.
    pub(super) fn may_start_operation(&self, state: &EngineState) -> bool {
        let facts = &state.facts;
        let exclusive = facts.exclusive || self.operations.values().any(|o| o.exclusive);
        let other_pools = self.operations.keys().any(|pool| *pool != facts.pool);
        !self.operations.contains_key(&facts.pool)
            && self.engine_operation(&facts.name).is_none()
            && !(exclusive && other_pools)
    }

    /// Starts every load, unload and task of maintenance that may start now.
    pub(super) fn start_operations(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut restrictions = PoolRestrictions::default();
        for candidate in self.load_candidates(now) {
            if self.pursue_candidate(&candidate, &mut restrictions, now, actions) {
                // Else loads of other pools could follow each other for ever.
                return;
            }
        }
        self.run_maintenance(now, actions);
    }

    /// Starts the operation that a candidate needs next, if it may start. Returns true where everything
    /// that comes later has to wait: an exclusive pool waits for all others.
    fn pursue_candidate(
        &mut self,
        candidate: &LoadCandidate,
        restrictions: &mut PoolRestrictions,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &self.engines[candidate.engine];
        let of_pin;
        let queue = match &candidate.requester {
            LoadRequester::Queue(at) => &state.queues[*at],
            LoadRequester::Pin(pin) => {
                let variant = state.option_variant(&pin.name);
                let size = self.model_size(&state.facts, &pin.model);
                of_pin = ModelQueue::of_one(Arc::clone(pin), variant, size, now);
                &of_pin
            }
        };
        let Some(waiter) = queue.next_waiter() else {
            return false;
        };
        let request = &waiter.request;
        let matched = self.match_resident(state, queue, request, now);
        let evicts = matched.needs_unload();
        if !evicts && !matches!(matched, ResidentMatch::NeedsLoad) {
            return false;
        }
        let pool = &state.facts.pool;
        if !self.may_start_operation(state) {
            return state.facts.exclusive && !self.operations.contains_key(pool);
        }
        if restrictions.forbid(pool, evicts) {
            return false;
        }
        if !evicts {
            let command = self.next_load(state, queue, request, now);
            if let Some((command, bytes)) = command {
                if matches!(candidate.requester, LoadRequester::Queue(_)) {
                    let client = request.client.clone();
                    self.take_load_turn(client);
                }
                self.begin_load(candidate.engine, command, bytes, now, actions);
            }
            return false;
        }
        let victim = self.victim_for(candidate, queue, &matched, now);
        let victim = victim.filter(|(e, ..)| self.may_start_operation(&self.engines[*e]));
        let room_for = (state.model_key(&request.model), queue.option_variant);
        let old = |at| now.saturating_duration_since(at) >= state.facts.overtake_age;
        let urgent = candidate.priority.0 == RESERVED || queue.oldest_arrival().is_some_and(old);
        let pool = Arc::clone(pool);
        if let Some((e, r, reason)) = victim {
            self.begin_unload(e, r, reason, Some(room_for), now, actions);
        } else if urgent {
            restrictions.no_start.push(Arc::clone(&pool));
        }
        restrictions.no_eviction.push(pool);
        false
    }

    /// The load of the next request of a queue, with the bytes that it is expected to take; `None`
    /// where no load would serve it.
    fn next_load(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> Option<(LoadCommand, u64)> {
        let planned = self.planned_load(state, queue, request, now).ok()?;
        let needed = planned.context;
        let budgets = [
            self.effective_budget(LimitScope::PoolMemory, &state.facts),
            state.facts.shared_budget,
        ];
        let budget = budgets.into_iter().flatten().min();
        let planned = self.with_spare_context(state, queue, request, planned, now);
        let command = LoadCommand {
            needed_context: Some(needed),
            ..state.load_command(request, planned, budget)
        };
        Some((command, planned.bytes.unwrap_or(0)))
    }

    /// The resident that goes for a candidate; `None` while everything that could go is busy or is kept
    /// for an agent that comes back.
    fn victim_for(
        &self,
        candidate: &LoadCandidate,
        queue: &ModelQueue,
        matched: &ResidentMatch,
        now: Instant,
    ) -> Option<Victim> {
        let state = &self.engines[candidate.engine];
        // A pinned model that nobody waits for was promised to be there: it waits for no agent.
        let respects_lingers = matches!(candidate.requester, LoadRequester::Queue(_));
        let own = |at: usize, reason| {
            let resident = &state.residents[at];
            let lingers = respects_lingers && self.is_lingering(state, queue, state, resident, now);
            let goes = resident.can_unload_now(now) && !lingers;
            goes.then_some((candidate.engine, at, reason))
        };
        match matched {
            ResidentMatch::NeedsEviction(scope) => {
                let reason = match scope {
                    LimitScope::EngineModels => EvictionReason::Limit,
                    LimitScope::PoolMemory | LimitScope::SharedMemory => EvictionReason::Conflict,
                };
                let at = candidate.engine;
                let found = self.choose_victim(*scope, at, queue, respects_lingers, now);
                found.map(|(e, r)| (e, r, reason))
            }
            ResidentMatch::NeedsGrowth(at) => own(*at, EvictionReason::Resize),
            ResidentMatch::NeedsOtherOptions(at) => own(*at, EvictionReason::Conflict),
            _ => None,
        }
    }

    /// Orders a load that is expected to take `bytes`, and ends the reservation of its model.
    pub(super) fn begin_load(
        &mut self,
        engine: usize,
        command: LoadCommand,
        bytes: u64,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[engine];
        let key = state.model_key(&command.model);
        let reserved = self.reservations.get(&state.facts.pool);
        if reserved.is_some_and(|(reserved, _)| *reserved == key) {
            self.reservations.remove(&state.facts.pool);
        }
        let model = Arc::clone(&command.model);
        actions.push(Action::Load(command.clone()));
        self.begin_operation(engine, model, OperationKind::Load(command), bytes, now);
    }

    /// Orders an unload; once it ended well, its pool is reserved for `room_for`.
    pub(super) fn begin_unload(
        &mut self,
        engine: usize,
        resident: usize,
        reason: EvictionReason,
        room_for: Option<Reservation>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[engine];
        let info = state.residents[resident].info.clone();
        let (instance, model) = (Arc::clone(&info.instance), Arc::clone(&info.model));
        actions.push(Action::Unload(Arc::clone(&state.facts.name), info));
        let kind = OperationKind::Unload {
            instance,
            reason,
            room_for,
        };
        self.begin_operation(engine, model, kind, 0, now);
    }

    /// Puts an operation into its pool.
    fn begin_operation(
        &mut self,
        engine: usize,
        model: Arc<str>,
        kind: OperationKind,
        bytes: u64,
        now: Instant,
    ) {
        let facts = &self.engines[engine].facts;
        let operation = PoolOperation {
            engine: Arc::clone(&facts.name),
            model,
            started: now,
            exclusive: facts.exclusive,
            kind,
            bytes,
            polls_at_start: facts.polls,
        };
        self.operations.insert(Arc::clone(&facts.pool), operation);
    }
}
