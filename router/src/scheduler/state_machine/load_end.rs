//! The end of a load: the model serves, or those who waited for it are refused.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    context_size::ContextCeiling,
    engine_state::EngineState,
    load_failure::next_backoff,
    model_key::ModelKey,
    model_queue::ModelQueue,
    model_size::ModelSize,
    pool_operation::{OperationKind, PoolOperation},
    resident::Resident,
    state::Scheduler,
};
use crate::{
    catalog::ResidentInfo,
    event::{Event, LoadOutcome},
    scheduler::messages::{Action, LoadCommand, LoadFailure, PermitRequest},
};

/// The polls that an engine answers during a load that never ends, before it is called wedged.
const WEDGED_POLLS: u64 = 2;

/// Whether two names are one model: Ollama adds `:latest` to a name without a tag, and engines differ
/// in case.
fn same_model(a: &str, b: &str) -> bool {
    let stem = |name: &str| name.strip_suffix(":latest").unwrap_or(name).len();
    a[..stem(a)].eq_ignore_ascii_case(&b[..stem(b)])
}

/// The event that a load ended.
fn load_event(command: &LoadCommand, outcome: LoadOutcome, took: Duration) -> Action {
    Action::Emit(Event::Load {
        engine: Arc::clone(&command.engine),
        model: Arc::clone(&command.name),
        outcome,
        trigger: command.trigger,
        took,
    })
}

// === impl EngineState ===

impl EngineState {
    /// Records what was loaded; returns false where the instance was there and was only kept alive.
    fn record_resident(&mut self, command: &LoadCommand, info: ResidentInfo, now: Instant) -> bool {
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
        resident.info.model = Arc::clone(&command.model);
        resident.info.kind = command.kind;
        resident.tuple = Some(command.tuple);
        resident.pinned = command.pin;
        resident.unlisted = false;
        resident.reloaded_smaller = false;
        resident.never_granted |= new;
        resident.keep_alive_sent = now;
        new
    }

    /// Notes in all queues that a load ended well: overtaking counts anew, and who waits for that model
    /// by now waited for a load.
    fn note_load_in_queues(&mut self, model: &Arc<str>) {
        for queue in &mut self.queues {
            queue.times_overtaken = 0;
        }
        for queue in self.queues.iter_mut().filter(|q| q.model == *model) {
            queue.last_ticket_of_load = queue.last_ticket();
        }
    }

    /// Calls the engine wedged where it answered its polls all through a load that never ended; returns
    /// whether that is new.
    fn note_endless_load(&mut self, operation: &PoolOperation) -> bool {
        let polls = self.facts.polls.saturating_sub(operation.polls_at_start);
        let wedged = self.facts.last_poll_answered && polls >= WEDGED_POLLS && !self.wedged;
        self.wedged |= wedged;
        wedged
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Ends the load that is in flight on an engine, if there is one.
    fn finish_load(&mut self, engine: &str) -> Option<(PoolOperation, LoadCommand)> {
        let operation = self.engine_operation(engine)?;
        let OperationKind::Load(command) = &operation.kind else {
            return None;
        };
        let command = command.clone();
        Some((self.finish_operation(engine)?, command))
    }

    /// Whether a load of that model, by whatever name of its runner, is in flight on the engine.
    fn is_loading(&self, engine: &Arc<str>, model: &Arc<str>) -> bool {
        let state = self.engine(engine);
        let runner = |name| state.map_or(name, |state| state.runner_of(name));
        let operation = self.engine_operation(engine);
        operation.is_some_and(|o| same_model(runner(&o.model), runner(model)))
    }

    /// Takes a model as loaded, after a load that ended well. Where it is not `ours`, the engine held it already
    /// when the load looked: another Crucible, a person or a program loaded it.
    pub(super) fn load_ended(
        &mut self,
        engine: &Arc<str>,
        info: ResidentInfo,
        ours: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if !self.is_loading(engine, &info.model) {
            // The late end of a load that timed out; the next poll shows it.
            return;
        }
        let Some((operation, command)) = self.finish_load(engine) else {
            return;
        };
        self.note_gpu_operation(engine, now);
        let took = now.saturating_duration_since(operation.started);
        let key = (Arc::clone(engine), Arc::clone(&command.model));
        if let Some(state) = self.engine(engine) {
            let tried = state.backoff_key(&command.model, &command.name);
            self.load_backoffs.remove(&tried);
        }
        self.timed_out_loads.remove(&key);
        let Some(at) = self.engine_index(engine) else {
            return actions.push(load_event(&command, LoadOutcome::Ok, took));
        };
        self.revision += 1;
        let state = &mut self.engines[at];
        state.wedged = false;
        state.last_load_ended = Some(now);
        state.abandoned_loads.remove(&command.model);
        state.note_load_in_queues(&command.model);
        let instance = Arc::clone(&info.instance);
        let new = state.record_resident(&command, info, now);
        if !ours {
            let mut residents = state.residents.iter_mut();
            if let Some(found) = residents.find(|r| r.info.instance == instance) {
                (found.tuple, found.pinned) = (None, false);
            }
        } else if new {
            self.load_times.insert(key.clone(), took);
            actions.push(load_event(&command, LoadOutcome::Ok, took));
        }
        self.update_resident_bytes(at);
        let has = self.measure_loaded(at, &key, &instance);
        if ours {
            self.record_context(key, &command, has, now);
        }
    }

    /// Keeps the bytes that an instance takes, where the engine reports them; returns its tokens per
    /// request.
    fn measure_loaded(&mut self, at: usize, key: &ModelKey, instance: &str) -> Option<u64> {
        let state = &self.engines[at];
        let mut residents = state.residents.iter();
        let resident = residents.find(|r| *r.info.instance == *instance)?;
        let size = self.model_size(&state.facts, &key.1);
        let has = state.context_per_request(resident);
        if let (bytes, true) = size.resident_bytes(&state.facts, resident) {
            let tokens = ModelSize::resident_tokens(&state.facts, resident);
            self.measured_sizes.insert(key.clone(), (tokens, bytes));
        }
        has
    }

    /// Remembers the context that a load gave, and a ceiling where the engine gave less than ordered.
    fn record_context(
        &mut self,
        key: ModelKey,
        command: &LoadCommand,
        has: Option<u64>,
        now: Instant,
    ) {
        let configured = command.configured_context;
        let Some((ordered, configured)) = command.tuple.context.zip(configured) else {
            return;
        };
        let history = self.context_histories.entry(key).or_default();
        // Context that was only to spare is nobody's need.
        let needed = command.needed_context;
        history.record(needed.map_or(ordered, |n| n.min(ordered)), configured);
        if let Some(has) = has.filter(|has| *has < ordered) {
            // The engine gave what it could: to ask again would end the same way.
            history.engine_ceiling = Some(ContextCeiling::new(has, false, "", now));
            history.largest = has;
        }
    }

    /// Takes a load as failed: refuses those who waited for it, unless a smaller one may serve them,
    /// and leaves the model alone for a while.
    pub(super) fn load_failed(
        &mut self,
        engine: &Arc<str>,
        failure: &LoadFailure,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some((operation, command)) = self.finish_load(engine) else {
            return;
        };
        self.note_gpu_operation(engine, now);
        let took = now.saturating_duration_since(operation.started);
        actions.push(load_event(&command, failure.outcome(), took));
        let smaller = self.note_failed_growth(&command, failure, now);
        let Some(at) = self.engine_index(engine) else {
            return;
        };
        let backoff = if smaller {
            next_backoff(Duration::ZERO)
        } else {
            let key = self.engines[at].backoff_key(&command.model, &command.name);
            self.note_load_failure(key, failure, command.timeout, now)
        };
        let state = &mut self.engines[at];
        if failure.outcome_unknown() {
            state.count_abandoned_load(&operation);
        }
        if *failure == LoadFailure::Timeout {
            // The engine may yet come to an end with it, and nobody else asked for it.
            let key = (Arc::clone(engine), Arc::clone(&command.model));
            self.timed_out_loads.insert(key, (command.tuple, now));
            if state.note_endless_load(&operation) {
                let engine = Arc::clone(engine);
                actions.push(Action::Emit(Event::Wedged { engine }));
            }
        }
        for request in self.unserved_by(at, &command, smaller, now) {
            self.remove_waiter(request.ticket);
            let refusal = failure.refusal(Arc::clone(&request.name), &command, backoff);
            actions.push(Action::Reject(request.ticket, refusal));
        }
    }

    /// Those who waited for a load that failed, in order of arrival; without those whom a `smaller` load
    /// may serve.
    fn unserved_by(
        &self,
        at: usize,
        command: &LoadCommand,
        smaller: bool,
        now: Instant,
    ) -> Vec<Arc<PermitRequest>> {
        let state = &self.engines[at];
        let variant = state.option_variant(&command.name);
        let own = |q: &&ModelQueue| q.model == command.model && q.option_variant == variant;
        let mut unserved: Vec<Arc<PermitRequest>> = Vec::new();
        for queue in state.queues.iter().filter(own) {
            let waits = |request: &PermitRequest| {
                smaller && self.planned_load(state, queue, request, now).is_ok()
            };
            let leave = queue.waiters().filter(|w| !waits(&w.request));
            unserved.extend(leave.map(|w| Arc::clone(&w.request)));
        }
        unserved.sort_unstable_by_key(|request| request.ticket);
        unserved
    }
}
