//! What the end of a load or an unload means.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::EngineKind;

use super::{
    context_size::ContextCeiling,
    load_failure::next_backoff,
    model_queue::ModelQueue,
    model_size::ModelSize,
    state::{
        EngineState, OperationKind, PoolOperation, Resident, Scheduler, UnloadBackoff,
        deadline_after, evicted_action,
    },
};
use crate::{
    catalog::ResidentInfo,
    event::{Event, LoadOutcome},
    scheduler::messages::{Action, LoadCommand, LoadFailure, PermitRequest},
};

/// Polls that an engine answers during a load that never ends, before it is called wedged.
const WEDGED_POLLS: u64 = 2;

// === impl EngineState ===

impl EngineState {
    /// Takes what was loaded; false where it was there and was only renewed.
    fn record_resident(&mut self, order: &LoadCommand, info: ResidentInfo, now: Instant) -> bool {
        let at = self
            .residents
            .iter()
            .position(|r| r.info.instance == info.instance);
        let new = at.is_none();
        let at = at.unwrap_or_else(|| {
            self.residents.push(Resident::new(info.clone(), now));
            self.residents.len() - 1
        });
        let resident = &mut self.residents[at];
        resident.info = info;
        resident.info.model = Arc::clone(&order.model);
        resident.info.kind = order.kind;
        resident.tuple = Some(order.tuple);
        resident.pinned = order.pin;
        resident.unlisted = false;
        resident.reloaded_smaller = false;
        resident.never_granted |= new;
        resident.keep_alive_sent = now;
        new
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The load of an engine, if that is what is in flight there.
    fn finish_load(&mut self, engine: &str) -> Option<(PoolOperation, LoadCommand)> {
        let operation = self.engine_operation(engine)?;
        let OperationKind::Load(order) = &operation.kind else {
            return None;
        };
        let order = order.clone();
        Some((self.finish_operation(engine)?, order))
    }

    pub(super) fn load_ended(
        &mut self,
        engine: &Arc<str>,
        info: ResidentInfo,
        ours: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let flying = self.engine_operation(engine);
        let runner = |model: &Arc<str>| {
            let state = self.engine(engine);
            Arc::clone(state.map_or(model, |state| state.runner_of(model)))
        };
        let same = |o: &PoolOperation| same_model(&runner(&o.model), &runner(&info.model));
        if !flying.is_some_and(same) {
            // The late end of a load that was given up; the next poll shows it.
            return;
        }
        let Some((operation, order)) = self.finish_load(engine) else {
            return;
        };
        self.note_gpu_operation(engine, now);
        let took = now.saturating_duration_since(operation.started);
        let key = (Arc::clone(engine), Arc::clone(&order.model));
        if let Some(state) = self.engine(engine) {
            let tried = state.backoff_key(&order.model, &order.name);
            self.load_backoffs.remove(&tried);
        }
        self.timed_out_loads.remove(&key);
        let Some(at) = self.engine_index(engine) else {
            return actions.push(load_ended_event(&order, LoadOutcome::Ok, took));
        };
        self.revision += 1;
        let state = &mut self.engines[at];
        state.wedged = false;
        state.last_load_ended = Some(now);
        state.abandoned_loads.remove(&order.model);
        for queue in &mut state.queues {
            queue.times_overtaken = 0;
        }
        for queue in state.queues.iter_mut().filter(|l| l.model == order.model) {
            queue.last_ticket_of_load = queue.last_ticket();
        }
        let instance = Arc::clone(&info.instance);
        let new = state.record_resident(&order, info, now);
        if !ours {
            let mut residents = state.residents.iter_mut();
            if let Some(found) = residents.find(|r| r.info.instance == instance) {
                (found.tuple, found.pinned) = (None, false);
            }
        } else if new {
            self.load_times.insert(key.clone(), took);
            actions.push(load_ended_event(&order, LoadOutcome::Ok, took));
        }
        self.update_resident_bytes(at);
        let state = &self.engines[at];
        let Some(resident) = state.residents.iter().find(|r| r.info.instance == instance) else {
            return;
        };
        let size = self.model_size(&state.facts, &order.model);
        if let (bytes, true) = size.resident_bytes(&state.facts, resident) {
            let tokens = ModelSize::resident_tokens(&state.facts, resident);
            self.measured_sizes.insert(key.clone(), (tokens, bytes));
        }
        let has = state.context_per_request(resident);
        if !ours {
            return;
        }
        let Some((asked, configured)) = order.tuple.context.zip(order.configured_context) else {
            return;
        };
        let history = self.context_histories.entry(key).or_default();
        // What was only to spare is no need of anybody's.
        let needed = order
            .needed_context
            .map_or(asked, |needed| needed.min(asked));
        history.record(needed, configured);
        if let Some(has) = has.filter(|has| *has < asked) {
            // The engine gave what it could: to ask again would end the same way.
            history.engine_ceiling = Some(ContextCeiling::new(has, false, "", now));
            history.largest = has;
        }
    }

    pub(super) fn load_failed(
        &mut self,
        engine: &Arc<str>,
        failure: LoadFailure,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some((operation, order)) = self.finish_load(engine) else {
            return;
        };
        self.note_gpu_operation(engine, now);
        let took = now.saturating_duration_since(operation.started);
        let outcome = match failure {
            LoadFailure::Refused(_)
            | LoadFailure::ModelMissing(_)
            | LoadFailure::ConnectionLost(_) => LoadOutcome::Error,
            LoadFailure::OutOfMemory(_) => LoadOutcome::Oom,
            LoadFailure::Timeout => LoadOutcome::Timeout,
        };
        actions.push(load_ended_event(&order, outcome, took));
        let key = (Arc::clone(engine), Arc::clone(&order.model));
        let before = failure.clone();
        let smaller = self.note_failed_growth(&order, &failure, now);
        let Some(at) = self.engine_index(engine) else {
            return;
        };
        let tried = self.engines[at].backoff_key(&order.model, &order.name);
        let backoff = if smaller {
            next_backoff(Duration::ZERO)
        } else {
            self.note_load_failure(tried, failure, order.timeout, now)
        };
        let state = &mut self.engines[at];
        let variant = state.option_variant(&order.name);
        if before.outcome_unknown() {
            state.count_abandoned_load(&operation);
        }
        if before == LoadFailure::Timeout {
            // The engine may yet come to an end with it, and nobody else asked for it.
            self.timed_out_loads.insert(key, (order.tuple, now));
            let facts = &state.facts;
            let polled = facts.polls.saturating_sub(operation.polls_at_start);
            if facts.last_poll_answered && polled >= WEDGED_POLLS && !state.wedged {
                state.wedged = true;
                let engine = Arc::clone(engine);
                actions.push(Action::Emit(Event::Wedged { engine }));
            }
        }
        let mut lost: Vec<Arc<PermitRequest>> = Vec::new();
        let state = &self.engines[at];
        let own = |l: &&ModelQueue| l.model == order.model && l.option_variant == variant;
        for queue in state.queues.iter().filter(own) {
            let waits = |request: &PermitRequest| {
                smaller && self.planned_load(state, queue, request, now).is_ok()
            };
            let leave = queue.waiters().filter(|w| !waits(&w.request));
            lost.extend(leave.map(|w| Arc::clone(&w.request)));
        }
        lost.sort_unstable_by_key(|request| request.ticket);
        for request in lost {
            self.remove_waiter(request.ticket);
            let refusal = before.refusal(Arc::clone(&request.name), &order, backoff);
            actions.push(Action::Reject(request.ticket, refusal));
        }
    }

    pub(super) fn unload_ended(
        &mut self,
        engine: &Arc<str>,
        gone: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let flying = self.engine_operation(engine);
        if !flying.is_some_and(|o| matches!(o.kind, OperationKind::Unload { .. })) {
            return;
        }
        let Some(operation) = self.finish_operation(engine) else {
            return;
        };
        self.note_gpu_operation(engine, now);
        let OperationKind::Unload {
            instance,
            reason,
            room_for,
        } = operation.kind
        else {
            return;
        };
        let Some(state) = self.engine_mut(engine) else {
            return;
        };
        if let Some(resident) = state
            .residents
            .iter_mut()
            .find(|r| r.info.instance == instance)
            && !gone
        {
            let backoff = next_backoff(resident.unload_backoff.delay);
            resident.unload_backoff = UnloadBackoff {
                not_before: deadline_after(now, backoff),
                delay: backoff,
            };
            return;
        }
        let name = match state.facts.kind {
            EngineKind::Ollama => &instance,
            _ => &operation.model,
        };
        let went = evicted_action(engine, name, reason);
        state.residents.retain(|r| r.info.instance != instance);
        let pool = Arc::clone(&state.facts.pool);
        self.revision += 1;
        self.clear_memory_backoffs(&pool);
        self.clear_memory_ceilings(&pool, &operation.model);
        if let Some(key) = room_for
            && let Some(facts) = self.facts(&key.0.0)
        {
            let pool = Arc::clone(&facts.pool);
            self.reservations.insert(pool, key);
        }
        actions.push(went);
    }

    /// What says nothing long after its budget bars its pool no longer.
    pub(super) fn expire_operations(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let over = |o: &&PoolOperation| o.times_out_at().is_some_and(|at| at <= now);
        while let Some(operation) = self.operations.values().find(over) {
            let engine = Arc::clone(&operation.engine);
            match operation.kind {
                OperationKind::Load(_) => {
                    self.load_failed(&engine, LoadFailure::Timeout, now, actions);
                }
                OperationKind::Unload { .. } => self.unload_ended(&engine, false, now, actions),
            }
        }
    }
}

/// Ollama adds `:latest` to a name without a tag, and engines differ in case.
fn same_model(a: &str, b: &str) -> bool {
    let stem = |name: &str| name.strip_suffix(":latest").unwrap_or(name).len();
    a[..stem(a)].eq_ignore_ascii_case(&b[..stem(b)])
}

fn load_ended_event(order: &LoadCommand, outcome: LoadOutcome, took: Duration) -> Action {
    Action::Emit(Event::Load {
        engine: Arc::clone(&order.engine),
        model: Arc::clone(&order.name),
        outcome,
        trigger: order.trigger,
        took,
    })
}
