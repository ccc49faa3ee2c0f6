//! Who is granted now.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use super::{
    estimate::retry_after,
    line::{Line, Waiter},
    standing::{Scope, Standing},
    state::{Active, EngineState, Scheduler, after},
    types::{Action, Arrival, Grant},
};
use crate::{catalog::ModelKind, refusal::Refusal};

/// What is loaded serves this many times as long as it took to load the next, before that goes in.
const SERVED_PER_LOADED: u32 = 6;
/// The bounds on overtaking become at most this many times as wide for that.
const STRETCH: f64 = 4.0;

/// How far a line that waits for something busy may still be overtaken.
pub(super) struct Overtaking {
    /// As many as may have done so.
    pub(super) used_up: bool,
    /// From then on nobody does.
    pub(super) ends: Option<Instant>,
}

/// A line that waits for something busy to become idle.
#[derive(Clone, Copy)]
struct Swap {
    engine: usize,
    line: usize,
    what: What,
    /// Of its next.
    ticket: u64,
    /// Interactive requests wait for it.
    interactive: bool,
}

#[derive(Clone, Copy)]
enum What {
    /// Anything that may go.
    Any(Scope),
    /// This resident of its engine.
    Own(usize),
}

// === impl Swap ===

impl Swap {
    /// It is more urgent than a request of that class.
    fn pressed(&self, class: Class) -> bool {
        self.interactive && class == Class::Background
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Grants what can be granted, interactive first and in order of arrival; refuses what never
    /// can.
    pub(super) fn grant(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut heads = BinaryHeap::new();
        for (e, state) in self.engines.iter().enumerate() {
            for (l, line) in state.lines.iter().enumerate() {
                heads.extend(head(line).map(|head| Reverse((head, e, l))));
            }
        }
        let mut swaps = self.swaps(now);
        let mut emptied = false;
        while let Some(Reverse((_, e, l))) = heads.pop() {
            self.engines[e].lines[l].wants = false;
            if self.grant_next(e, l, &mut swaps, now, actions) {
                let next = head(&self.engines[e].lines[l]);
                heads.extend(next.map(|head| Reverse((head, e, l))));
                emptied |= next.is_none();
            }
        }
        if emptied {
            for state in &mut self.engines {
                state.lines.retain(|l| !l.is_empty());
            }
        }
    }

    /// Gives whether the line went on.
    fn grant_next(
        &mut self,
        e: usize,
        l: usize,
        swaps: &mut Vec<Swap>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &mut self.engines[e];
        if !state.facts.load_control {
            let line = &state.lines[l];
            let (model, kind) = (Arc::clone(&line.model), line.kind);
            state.assume(&model, kind, now);
        }
        let state = &self.engines[e];
        let line = &state.lines[l];
        let Some(waiter) = line.next() else {
            return false;
        };
        match self.stands(state, &state.lines[l], &waiter.arrival, now) {
            Standing::Free(resident) => {
                let held = &state.residents[resident];
                let bounds = (state.facts.overtake_count, state.facts.overtake_age);
                let fits = |w: &&Waiter| state.serves(held, &w.arrival);
                let warm = state.lines[l].warm(&held.warm, bounds, now).filter(fits);
                let arrival = &warm.unwrap_or(waiter).arrival;
                let (ticket, class) = (arrival.ticket, arrival.class);
                let overtaken = self.overtakes(swaps, e, resident, arrival);
                if overtaken
                    .iter()
                    .any(|s| self.overtaking_ends(s, class, now))
                {
                    return false;
                }
                for swap in overtaken {
                    self.engines[swap.engine].lines[swap.line].overtaken += 1;
                }
                self.give((e, l, ticket), resident, now, actions);
                return true;
            }
            Standing::Never(refusal) => return self.refuse(e, l, refusal, actions),
            Standing::Load
            | Standing::Swap(_)
            | Standing::Resize(_)
            | Standing::Rename(_)
            | Standing::Moving
                if waiter.arrival.resident_only =>
            {
                let refusal = Refusal::NoEngine {
                    model: waiter.arrival.model.to_string(),
                    detail: format!("'{}' does not hold it", waiter.arrival.engine),
                    retry_after: 1,
                };
                return self.refuse(e, l, refusal, actions);
            }
            standing @ (Standing::Load
            | Standing::Swap(_)
            | Standing::Resize(_)
            | Standing::Rename(_)) => {
                if let Some(refusal) = self.failed(e, l, now) {
                    return self.refuse(e, l, refusal, actions);
                }
                self.engines[e].lines[l].wants = true;
                if !swaps.iter().any(|s| (s.engine, s.line) == (e, l)) {
                    swaps.extend(self.swap(e, l, &standing));
                }
                return self.grant_beside(e, l, swaps, now, actions);
            }
            Standing::Slot | Standing::Moving => {}
        }
        false
    }

    /// While one waits for its model to grow, others may use it as it is, within the bounds on
    /// overtaking; gives whether one did.
    fn grant_beside(
        &mut self,
        e: usize,
        l: usize,
        swaps: &[Swap],
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(own) = swaps.iter().find(|s| (s.engine, s.line) == (e, l)) else {
            return false;
        };
        let state = &self.engines[e];
        let serves = |waiter: &Waiter| {
            let arrival = &waiter.arrival;
            let mut residents = state.residents.iter();
            let at = residents.position(|r| {
                r.info.model == arrival.model && !r.vanished && state.serves(r, arrival)
            })?;
            Some((Arc::clone(arrival), at))
        };
        let Some((arrival, at)) = state.lines[l].beside().find_map(serves) else {
            return false;
        };
        let mut overtaken = self.overtakes(swaps, e, at, &arrival);
        overtaken.retain(|s| (s.engine, s.line) != (e, l));
        let ends = |s: &Swap| self.overtaking_ends(s, arrival.class, now);
        if ends(own) || overtaken.iter().any(ends) {
            return false;
        }
        for swap in overtaken {
            self.engines[swap.engine].lines[swap.line].overtaken += 1;
        }
        self.give((e, l, arrival.ticket), at, now, actions);
        true
    }

    /// The lines that wait for something busy, before anything is granted.
    fn swaps(&self, now: Instant) -> Vec<Swap> {
        let mut swaps = Vec::new();
        for (e, state) in self.engines.iter().enumerate() {
            if !state.facts.load_control {
                continue;
            }
            for (l, line) in state.lines.iter().enumerate() {
                let Some(waiter) = line.next() else { continue };
                let standing = self.stands(state, line, &waiter.arrival, now);
                let swap = self.swap(e, l, &standing);
                swaps.extend(swap.filter(|_| self.failed(e, l, now).is_none()));
            }
        }
        swaps
    }

    fn swap(&self, engine: usize, line: usize, standing: &Standing) -> Option<Swap> {
        let what = match standing {
            Standing::Swap(scope) => What::Any(*scope),
            Standing::Resize(at) | Standing::Rename(at) => What::Own(*at),
            _ => return None,
        };
        let waits = &self.engines[engine].lines[line];
        Some(Swap {
            engine,
            line,
            what,
            ticket: waits.next()?.arrival.ticket,
            interactive: waits.interactive(),
        })
    }

    /// The swaps that wait for this resident to become idle and are older than who would be granted
    /// it, or more urgent. Who made it be loaded is granted before that counts.
    fn overtakes(&self, swaps: &[Swap], e: usize, resident: usize, arrival: &Arrival) -> Vec<Swap> {
        let state = &self.engines[e];
        let held = &state.residents[resident];
        let waits = |s: &&Swap| match s.what {
            What::Any(scope) => Self::waits_for(scope, &self.engines[s.engine], state, held),
            What::Own(at) => s.engine == e && at == resident,
        };
        let first = |s: &&Swap| s.ticket < arrival.ticket || s.pressed(arrival.class);
        swaps.iter().filter(first).filter(waits).copied().collect()
    }

    fn overtaking_ends(&self, swap: &Swap, class: Class, now: Instant) -> bool {
        let state = &self.engines[swap.engine];
        let bounds = self.overtaking(state, &state.lines[swap.line], swap.pressed(class));
        bounds.used_up || bounds.ends.is_some_and(|end| end <= now)
    }

    /// The bounds on overtaking that line; `pressed`: by somebody less urgent.
    pub(super) fn overtaking(&self, state: &EngineState, line: &Line, pressed: bool) -> Overtaking {
        let facts = &state.facts;
        let from = |since: Instant| state.loaded_at.map_or(since, |at| at.max(since));
        let load = self.load_time(&facts.name, &line.model);
        let times = match load {
            Some(load) if !pressed => stretch(load, facts.overtake_age),
            _ => 1.0,
        };
        let age = Duration::try_from_secs_f64(facts.overtake_age.as_secs_f64() * times);
        let age = age.unwrap_or(Duration::MAX);
        Overtaking {
            used_up: f64::from(line.overtaken) >= f64::from(facts.overtake_count) * times,
            ends: line.since().and_then(|since| after(from(since), age)),
        }
    }

    /// The last load of that model failed, and it is too early to try again. One that was missing may
    /// have been pulled anew, and to ask for it costs an engine nothing.
    fn failed(&self, e: usize, l: usize, now: Instant) -> Option<Refusal> {
        let state = &self.engines[e];
        let (engine, model) = (
            Arc::clone(&state.facts.name),
            Arc::clone(&state.lines[l].model),
        );
        let place = state.tried(&model, &state.lines[l].next()?.arrival.name);
        let failure = self.failures.get(&place)?;
        if failure.missing || now >= failure.until {
            return None;
        }
        Some(Refusal::LoadFailed {
            engine,
            model: Arc::clone(&state.lines[l].next()?.arrival.name),
            message: failure.message.clone(),
            retry_after: retry_after(failure.until.saturating_duration_since(now)),
        })
    }

    fn refuse(&mut self, e: usize, l: usize, why: Refusal, actions: &mut Vec<Action>) -> bool {
        let line = &mut self.engines[e].lines[l];
        let next = line.next().map(|w| w.arrival.ticket);
        let Some(ticket) = next.filter(|ticket| line.remove(*ticket).is_some()) else {
            return false;
        };
        self.leave(ticket);
        actions.push(Action::Reject(ticket, why));
        true
    }

    fn give(
        &mut self,
        (e, l, ticket): (usize, usize, u64),
        at: usize,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let line = &mut self.engines[e].lines[l];
        let loaded_to = line.loaded_to;
        let Some(waiter) = line.grant(ticket) else {
            return;
        };
        let arrival = waiter.arrival;
        self.leave(ticket);
        let state = &mut self.engines[e];
        let permits = state.facts.permits;
        let resident = &mut state.residents[at];
        resident.serve(arrival.session, permits);
        resident.active += 1;
        resident.fresh = false;
        if arrival.kind == ModelKind::Embedding {
            state.embedding += 1;
        }
        let state = &self.engines[e];
        let resident = &state.residents[at];
        let of_others = self.tuple_of_others(state, resident);
        actions.push(Action::Grant(Grant {
            ticket,
            info: resident.info.clone(),
            tuple: of_others.unwrap_or_else(|| state.request_tuple(resident, &arrival)),
            loaded: ticket <= loaded_to,
        }));
        let permit = Active {
            engine: Arc::clone(&arrival.engine),
            instance: Arc::clone(&resident.info.instance),
            kind: arrival.kind,
            since: now,
            client: arrival.client.clone(),
            session: arrival.session,
            class: arrival.class,
        };
        self.active.insert(ticket, permit);
    }
}

/// Where the next of a line stands among those of all lines.
fn head(line: &Line) -> Option<(bool, u64)> {
    let arrival = &line.next()?.arrival;
    Some((arrival.class == Class::Background, arrival.ticket))
}

/// How many times as wide the bounds on overtaking are for a model that takes so long to load.
fn stretch(load: Duration, age: Duration) -> f64 {
    let earned = load.saturating_mul(SERVED_PER_LOADED).as_secs_f64();
    (earned / age.as_secs_f64()).clamp(1.0, STRETCH)
}
