//! What the end of a load or an unload means.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::EngineKind;

use super::{
    failure::next_backoff,
    fit::Ceiling,
    line::Line,
    size::Size,
    state::{EngineState, Operation, Resident, Retry, Scheduler, Work, after, evicted},
    types::{Action, Arrival, LoadFailure, Order},
};
use crate::{
    catalog::ResidentInfo,
    event::{Event, LoadOutcome},
};

/// Polls that an engine answers during a load that never ends, before it is called wedged.
const WEDGED_POLLS: u64 = 2;

// === impl EngineState ===

impl EngineState {
    /// Takes what was loaded; false where it was there and was only renewed.
    fn take_in(&mut self, order: &Order, info: ResidentInfo, now: Instant) -> bool {
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
        resident.pinned = order.pinned;
        resident.vanished = false;
        resident.shrunk = false;
        resident.fresh |= new;
        resident.renewed = now;
        new
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The load of an engine, if that is what is in flight there.
    fn finish_load(&mut self, engine: &str) -> Option<(Operation, Order)> {
        let operation = self.operation_of(engine)?;
        let Work::Load(order) = &operation.work else {
            return None;
        };
        let order = order.clone();
        Some((self.finish(engine)?, order))
    }

    pub(super) fn loaded(
        &mut self,
        engine: &Arc<str>,
        info: ResidentInfo,
        ours: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let flying = self.operation_of(engine);
        let runner = |model: &Arc<str>| {
            let state = self.engine(engine);
            Arc::clone(state.map_or(model, |state| state.runner(model)))
        };
        let same = |o: &Operation| same_model(&runner(&o.model), &runner(&info.model));
        if !flying.is_some_and(same) {
            // The late end of a load that was given up; the next poll shows it.
            return;
        }
        let Some((operation, order)) = self.finish_load(engine) else {
            return;
        };
        self.unsettle(engine, now);
        let took = now.saturating_duration_since(operation.since);
        let place = (Arc::clone(engine), Arc::clone(&order.model));
        if let Some(state) = self.engine(engine) {
            let tried = state.tried(&order.model, &order.name);
            self.failures.remove(&tried);
        }
        self.abandoned.remove(&place);
        let Some(at) = self.index(engine) else {
            return actions.push(ended(&order, LoadOutcome::Ok, took));
        };
        self.revision += 1;
        let state = &mut self.engines[at];
        state.wedged = false;
        state.loaded_at = Some(now);
        state.given_up.remove(&order.model);
        for line in &mut state.lines {
            line.overtaken = 0;
        }
        for line in state.lines.iter_mut().filter(|l| l.model == order.model) {
            line.loaded_to = line.last();
        }
        let instance = Arc::clone(&info.instance);
        let new = state.take_in(&order, info, now);
        if !ours {
            let mut residents = state.residents.iter_mut();
            if let Some(found) = residents.find(|r| r.info.instance == instance) {
                (found.tuple, found.pinned) = (None, false);
            }
        } else if new {
            self.load_times.insert(place.clone(), took);
            actions.push(ended(&order, LoadOutcome::Ok, took));
        }
        self.measure_residents(at);
        let state = &self.engines[at];
        let Some(resident) = state.residents.iter().find(|r| r.info.instance == instance) else {
            return;
        };
        let size = self.size_of(&state.facts, &order.model);
        if let (bytes, true) = size.of_resident(&state.facts, resident) {
            let tokens = Size::tokens_of(&state.facts, resident);
            self.measured.insert(place.clone(), (tokens, bytes));
        }
        let has = state.room(resident);
        if !ours {
            return;
        }
        let Some((asked, configured)) = order.tuple.context.zip(order.configured) else {
            return;
        };
        let mark = self.marks.entry(place).or_default();
        // What was only to spare is no need of anybody's.
        let needed = order.needed.map_or(asked, |needed| needed.min(asked));
        mark.note(needed, configured);
        if let Some(has) = has.filter(|has| *has < asked) {
            // The engine gave what it could: to ask again would end the same way.
            mark.yielded = Some(Ceiling::new(has, false, "", now));
            mark.context = has;
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
        self.unsettle(engine, now);
        let took = now.saturating_duration_since(operation.since);
        let outcome = match failure {
            LoadFailure::Refused(_) | LoadFailure::Missing(_) | LoadFailure::Broken(_) => {
                LoadOutcome::Error
            }
            LoadFailure::OutOfMemory(_) => LoadOutcome::Oom,
            LoadFailure::Timeout => LoadOutcome::Timeout,
        };
        actions.push(ended(&order, outcome, took));
        let place = (Arc::clone(engine), Arc::clone(&order.model));
        let before = failure.clone();
        let smaller = self.note_failed_growth(&order, &failure, now);
        let Some(at) = self.index(engine) else {
            return;
        };
        let tried = self.engines[at].tried(&order.model, &order.name);
        let backoff = if smaller {
            next_backoff(Duration::ZERO)
        } else {
            self.remember(tried, failure, order.budget, now)
        };
        let state = &mut self.engines[at];
        let variant = state.variant(&order.name);
        if before.is_open() {
            state.give_up(&operation);
        }
        if before == LoadFailure::Timeout {
            // The engine may yet come to an end with it, and nobody else asked for it.
            self.abandoned.insert(place, (order.tuple, now));
            let facts = &state.facts;
            let polled = facts.polls.saturating_sub(operation.polls);
            if facts.answers && polled >= WEDGED_POLLS && !state.wedged {
                state.wedged = true;
                let engine = Arc::clone(engine);
                actions.push(Action::Tell(Event::Wedged { engine }));
            }
        }
        let mut lost: Vec<Arc<Arrival>> = Vec::new();
        let state = &self.engines[at];
        let own = |l: &&Line| l.model == order.model && l.variant == variant;
        for line in state.lines.iter().filter(own) {
            let waits =
                |arrival: &Arrival| smaller && self.planned(state, line, arrival, now).is_ok();
            let leave = line.waiters().filter(|w| !waits(&w.arrival));
            lost.extend(leave.map(|w| Arc::clone(&w.arrival)));
        }
        lost.sort_unstable_by_key(|arrival| arrival.ticket);
        for arrival in lost {
            self.remove(arrival.ticket);
            let refusal = before.refusal(Arc::clone(&arrival.name), &order, backoff);
            actions.push(Action::Reject(arrival.ticket, refusal));
        }
    }

    pub(super) fn unloaded(
        &mut self,
        engine: &Arc<str>,
        gone: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let flying = self.operation_of(engine);
        if !flying.is_some_and(|o| matches!(o.work, Work::Unload { .. })) {
            return;
        }
        let Some(operation) = self.finish(engine) else {
            return;
        };
        self.unsettle(engine, now);
        let Work::Unload {
            instance,
            reason,
            room_for,
        } = operation.work
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
            let backoff = next_backoff(resident.unload.backoff);
            resident.unload = Retry {
                not_before: after(now, backoff),
                backoff,
            };
            return;
        }
        let name = match state.facts.kind {
            EngineKind::Ollama => &instance,
            _ => &operation.model,
        };
        let went = evicted(engine, name, reason);
        state.residents.retain(|r| r.info.instance != instance);
        let pool = Arc::clone(&state.facts.pool);
        self.revision += 1;
        self.memory_came_free(&pool);
        self.forget_refused_growth(&pool, &operation.model);
        if let Some(place) = room_for
            && let Some(facts) = self.facts(&place.0.0)
        {
            let pool = Arc::clone(&facts.pool);
            self.reserved.insert(pool, place);
        }
        actions.push(went);
    }

    /// What says nothing long after its budget bars its pool no longer.
    pub(super) fn abandon(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let over = |o: &&Operation| o.ends().is_some_and(|at| at <= now);
        while let Some(operation) = self.operations.values().find(over) {
            let engine = Arc::clone(&operation.engine);
            match operation.work {
                Work::Load(_) => self.load_failed(&engine, LoadFailure::Timeout, now, actions),
                Work::Unload { .. } => self.unloaded(&engine, false, now, actions),
            }
        }
    }
}

/// Ollama adds `:latest` to a name without a tag, and engines differ in case.
fn same_model(a: &str, b: &str) -> bool {
    let stem = |name: &str| name.strip_suffix(":latest").unwrap_or(name).len();
    a[..stem(a)].eq_ignore_ascii_case(&b[..stem(b)])
}

fn ended(order: &Order, outcome: LoadOutcome, took: Duration) -> Action {
    Action::Tell(Event::Load {
        engine: Arc::clone(&order.engine),
        model: Arc::clone(&order.name),
        outcome,
        trigger: order.trigger,
        took,
    })
}
