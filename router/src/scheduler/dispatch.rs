//! Who is granted now.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Instant};

use super::{
    estimate::retry_after,
    standing::{Scope, Standing},
    state::{Active, Scheduler},
    types::{Action, Grant},
};
use crate::{catalog::ModelKind, refusal::Refusal};

/// A line that waits for something busy to become idle.
#[derive(Clone, Copy)]
struct Swap {
    engine: usize,
    line: usize,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// Anything that may go.
    Any(Scope),
    /// This resident of its engine.
    Own(usize),
}

// === impl Scheduler ===

impl Scheduler {
    /// Grants what can be granted, in order of arrival; refuses what never can.
    pub(super) fn grant(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut heads = BinaryHeap::new();
        for (e, state) in self.engines.iter().enumerate() {
            for (l, line) in state.lines.iter().enumerate() {
                heads.extend(line.next().map(|w| Reverse((w.arrival.ticket, e, l))));
            }
        }
        let mut swaps: Vec<Swap> = Vec::new();
        let mut emptied = false;
        while let Some(Reverse((_, e, l))) = heads.pop() {
            self.engines[e].lines[l].wants = false;
            if self.grant_next(e, l, &mut swaps, now, actions) {
                let next = self.engines[e].lines[l].next();
                heads.extend(next.map(|w| Reverse((w.arrival.ticket, e, l))));
                emptied |= self.engines[e].lines[l].is_empty();
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
        let (engine, line) = (e, l);
        let swap = |what| Swap { engine, line, what };
        match self.stands(state, &state.lines[l], &waiter.arrival, now) {
            Standing::Free(resident) => {
                if let Some(older) = self.overtakes(swaps, e, resident) {
                    if self.overtaking_ends(older, now) {
                        return false;
                    }
                    self.engines[older.engine].lines[older.line].overtaken += 1;
                }
                self.give(e, l, resident, now, actions);
                return true;
            }
            Standing::Never(refusal) => return self.refuse(e, l, refusal, actions),
            standing @ (Standing::Load | Standing::Swap(_) | Standing::Resize(_)) => {
                if let Some(refusal) = self.failed(e, l, now) {
                    return self.refuse(e, l, refusal, actions);
                }
                self.engines[e].lines[l].wants = true;
                match standing {
                    Standing::Swap(scope) => swaps.push(swap(What::Any(scope))),
                    Standing::Resize(at) => swaps.push(swap(What::Own(at))),
                    _ => {}
                }
            }
            Standing::Slot | Standing::Moving => {}
        }
        false
    }

    /// The oldest swap that waits for this resident to become idle. Who made it be loaded is
    /// granted before that counts.
    fn overtakes(&self, swaps: &[Swap], e: usize, resident: usize) -> Option<Swap> {
        let state = &self.engines[e];
        let held = &state.residents[resident];
        let waits = |s: &&Swap| match s.what {
            What::Any(scope) => Self::waits_for(scope, &self.engines[s.engine], state, held),
            What::Own(at) => s.engine == e && at == resident,
        };
        swaps.iter().find(waits).copied()
    }

    fn overtaking_ends(&self, swap: Swap, now: Instant) -> bool {
        let state = &self.engines[swap.engine];
        let line = &state.lines[swap.line];
        let from = |since: Instant| state.loaded_at.map_or(since, |at| at.max(since));
        let waits = |since| now.saturating_duration_since(from(since));
        line.overtaken >= state.facts.overtake_count
            || line.since().map(waits) >= Some(state.facts.overtake_age)
    }

    /// The last load of that model failed, and it is too early to try again.
    fn failed(&self, e: usize, l: usize, now: Instant) -> Option<Refusal> {
        let state = &self.engines[e];
        let (engine, model) = (
            Arc::clone(&state.facts.name),
            Arc::clone(&state.lines[l].model),
        );
        let place = (Arc::clone(&engine), Arc::clone(&model));
        let failure = self.failures.get(&place).filter(|f| now < f.until)?;
        Some(Refusal::LoadFailed {
            engine,
            model,
            message: failure.message.clone(),
            retry_after: retry_after(failure.until.saturating_duration_since(now)),
        })
    }

    fn refuse(&mut self, e: usize, l: usize, why: Refusal, actions: &mut Vec<Action>) -> bool {
        let Some(waiter) = self.engines[e].lines[l].take(false) else {
            return false;
        };
        let ticket = waiter.arrival.ticket;
        self.leave(ticket);
        actions.push(Action::Reject(ticket, why));
        true
    }

    fn give(&mut self, e: usize, l: usize, at: usize, now: Instant, actions: &mut Vec<Action>) {
        let line = &mut self.engines[e].lines[l];
        let loaded_to = line.loaded_to;
        let Some(waiter) = line.take(true) else {
            return;
        };
        let arrival = waiter.arrival;
        let ticket = arrival.ticket;
        self.leave(ticket);
        let state = &mut self.engines[e];
        let resident = &mut state.residents[at];
        resident.active += 1;
        resident.fresh = false;
        if arrival.kind == ModelKind::Embedding {
            state.embedding += 1;
        }
        let resident = &state.residents[at];
        actions.push(Action::Grant(Grant {
            ticket,
            info: resident.info.clone(),
            tuple: state.request_tuple(resident, &arrival),
            loaded: ticket <= loaded_to,
        }));
        let permit = Active {
            engine: arrival.engine,
            instance: Arc::clone(&resident.info.instance),
            kind: arrival.kind,
            since: now,
        };
        self.active.insert(ticket, permit);
    }
}
