//! Who waits: arrivals, bounds, deadlines and who leaves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    estimate::{Wait, retry_after},
    line::{Line, Waiter},
    share::{Admission, Shares},
    size::Size,
    state::{EngineState, Scheduler, Seat, after, evicted, lane},
    types::{Action, Arrival},
};
use crate::{catalog::ModelKind, event::EvictionReason, refusal::Refusal};

/// Answers until their mean may refuse a request at once.
const ENOUGH: u32 = 5;

// === impl EngineState ===

impl EngineState {
    fn waiter(&self, seat: &Seat, ticket: u64) -> Option<&Waiter> {
        self.lines[self.line(&seat.model, seat.variant, seat.kind)?].waiter(ticket)
    }

    /// Those who wait in one lane, by client.
    fn shares(&self, kind: ModelKind, now: Instant) -> Shares<'_> {
        let lines = self.lines.iter().filter(|line| line.kind == kind);
        let waiters = lines.flat_map(Line::waiters);
        Shares::of(waiters.map(|w| &*w.arrival), now)
    }

    fn measure(&mut self, took: Duration) {
        let (mean, samples) = &mut self.service;
        // The newest eighth counts, or all while there are few.
        let weight = (*samples + 1).min(8);
        *mean = (mean.saturating_mul(weight - 1).saturating_add(took)) / weight;
        *samples = samples.saturating_add(1);
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Puts it in line; gives its ticket.
    pub(super) fn arrive(
        &mut self,
        arrival: Arc<Arrival>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<u64> {
        let ticket = arrival.ticket;
        if self.draining.is_some() {
            actions.push(Action::Reject(ticket, Refusal::Draining));
            return None;
        }
        let Some(at) = self.index(&arrival.engine) else {
            actions.push(gone(ticket, &arrival.name, &arrival.engine));
            return None;
        };
        self.comes_back(&arrival);
        if let Some(hash) = arrival.supersedes {
            self.supersede(hash, ticket, actions);
        }
        if arrival.pinned {
            self.pins.insert(
                (Arc::clone(&arrival.engine), Arc::clone(&arrival.model)),
                Arc::clone(&arrival),
            );
        }
        let variant = self.engines[at].variant(&arrival.name);
        let seat = Seat {
            engine: Arc::clone(&arrival.engine),
            model: Arc::clone(&arrival.model),
            name: Arc::clone(&arrival.name),
            variant,
            kind: arrival.kind,
            deadline: arrival.deadline,
            supersedes: arrival.supersedes,
        };
        self.deadlines.insert((arrival.deadline, ticket));
        let size = match self.engines[at].line(&arrival.model, variant, arrival.kind) {
            Some(_) => Size::default(),
            None => self.size_of(&self.engines[at].facts, &arrival.model),
        };
        let state = &mut self.engines[at];
        state.waiting[lane(arrival.kind)] += 1;
        let found = state.line(&arrival.model, variant, arrival.kind);
        let line = found.unwrap_or_else(|| {
            let model = Arc::clone(&arrival.model);
            state
                .lines
                .push(Line::new(model, variant, arrival.kind, size));
            state.lines.len() - 1
        });
        state.lines[line].push(arrival, now);
        self.seats.insert(ticket, seat);
        Some(ticket)
    }

    fn supersede(&mut self, hash: u64, ticket: u64, actions: &mut Vec<Action>) {
        if let Some(older) = self.replaceable.insert(hash, ticket)
            && self.remove(older).is_some()
        {
            actions.push(Action::Reject(older, Refusal::Superseded));
            self.replaceable.insert(hash, ticket);
        }
    }

    /// Who can have a permit now is not a waiter; who is one too many starts no load.
    pub(super) fn admit(&mut self, ticket: u64, now: Instant, actions: &mut Vec<Action>) {
        let Some(seat) = self.seats.get(&ticket) else {
            return;
        };
        let (engine, kind, deadline) = (Arc::clone(&seat.engine), seat.kind, seat.deadline);
        let Some(at) = self.index(&engine) else {
            return;
        };
        let state = &self.engines[at];
        let waiting = state.waiting[lane(kind)];
        let (full, enough) = (waiting > state.facts.queue, state.service.1 >= ENOUGH);
        if !full && !enough {
            return;
        }
        let too_late = |wait: &Wait| {
            let late = || after(now, wait.expected).is_none_or(|end| end > deadline);
            wait.measured && enough && late()
        };
        let longest = self.expected_wait(at, Some(&seat.model), kind, waiting, now);
        if !full && !too_late(&longest) {
            // In time behind everybody: whose turn comes before need not be counted.
            return;
        }
        let Some(waiter) = state.waiter(seat, ticket) else {
            return;
        };
        let shares = state.shares(kind, now);
        let client = &waiter.arrival.client;
        let wait = self.expected_wait(at, Some(&seat.model), kind, shares.turns(client), now);
        let admission = if full {
            shares.admit(client, state.facts.queue)
        } else {
            Admission::Beside
        };
        match admission {
            Admission::Refused => self.refuse_place(at, ticket, now, actions),
            _ if too_late(&wait) => {
                let refusal = Refusal::QueueTimeout {
                    engine,
                    waited: wait.expected,
                    retry_after: retry_after(wait.expected),
                };
                self.remove(ticket);
                actions.push(Action::Reject(ticket, refusal));
            }
            Admission::Instead(last) => self.refuse_place(at, last, now, actions),
            Admission::Beside => {}
        }
    }

    /// Refuses one for whom the queue of its engine has no place.
    fn refuse_place(&mut self, at: usize, ticket: u64, now: Instant, actions: &mut Vec<Action>) {
        let state = &self.engines[at];
        let seat = self.seats.get(&ticket);
        let Some((seat, waiter)) = seat.and_then(|seat| Some((seat, state.waiter(seat, ticket)?)))
        else {
            return;
        };
        let shares = state.shares(seat.kind, now);
        let client = &waiter.arrival.client;
        let position = shares.turns(client);
        let wait = self.expected_wait(at, Some(&seat.model), seat.kind, position, now);
        let own = shares.count(client).saturating_sub(1);
        let refusal = Refusal::QueueFull {
            engine: Arc::clone(&seat.engine),
            limit: u32::try_from(state.facts.queue).unwrap_or(u32::MAX),
            own: u32::try_from(own).unwrap_or(u32::MAX),
            retry_after: self.come_back(at, &seat.model, seat.kind, &wait, now),
        };
        self.remove(ticket);
        actions.push(Action::Reject(ticket, refusal));
    }

    /// When to come back who is refused for this wait. Where no answer has ended yet, nothing is
    /// known of how long a line takes: then the next place that comes free is worth a try.
    fn come_back(
        &self,
        at: usize,
        model: &Arc<str>,
        kind: ModelKind,
        wait: &Wait,
        now: Instant,
    ) -> u64 {
        let state = &self.engines[at];
        if state.service.1 > 0 || state.facts.service.is_some() {
            return retry_after(wait.expected);
        }
        retry_after(self.expected_wait(at, Some(model), kind, 1, now).expected)
    }

    /// Takes a waiter out of its line.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let seat = self.leave(ticket)?;
        let state = self.engine_mut(&seat.engine)?;
        let line = state.line(&seat.model, seat.variant, seat.kind)?;
        let waiter = state.lines[line].remove(ticket);
        if state.lines[line].is_empty() {
            state.lines.swap_remove(line);
        }
        waiter
    }

    /// Everything but its place in line.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Seat> {
        let seat = self.seats.remove(&ticket)?;
        self.deadlines.remove(&(seat.deadline, ticket));
        if let Some(hash) = seat.supersedes
            && self.replaceable.get(&hash) == Some(&ticket)
        {
            self.replaceable.remove(&hash);
        }
        if let Some(state) = self.engine_mut(&seat.engine) {
            let waiting = &mut state.waiting[lane(seat.kind)];
            *waiting = waiting.saturating_sub(1);
        }
        Some(seat)
    }

    pub(super) fn cancel(&mut self, ticket: u64) {
        self.remove(ticket);
    }

    /// `for_tools`: the answer ended in tool calls.
    pub(super) fn release(
        &mut self,
        ticket: u64,
        for_tools: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.release_departed(ticket);
        let Some(active) = self.active.remove(&ticket) else {
            return;
        };
        let Some(state) = self.engine_mut(&active.engine) else {
            return;
        };
        if active.kind == ModelKind::Embedding {
            state.embedding = state.embedding.saturating_sub(1);
        } else {
            state.measure(now.saturating_duration_since(active.since));
        }
        let Some(at) = state
            .residents
            .iter()
            .position(|r| r.info.instance == active.instance)
        else {
            return;
        };
        let kind = state.facts.kind;
        let resident = &mut state.residents[at];
        resident.active = resident.active.saturating_sub(1);
        resident.idle_since = now;
        if resident.active == 0 && (resident.vanished || resident.assumed) {
            let resident = state.residents.remove(at);
            let pool = Arc::clone(&state.facts.pool);
            self.memory_came_free(&pool);
            self.forget_refused_growth(&pool, &resident.info.model);
            if resident.tuple.is_some() {
                self.revision += 1;
                let reason = EvictionReason::External;
                actions.push(evicted(&active.engine, resident.info.name(kind), reason));
            }
        } else if for_tools && active.kind == ModelKind::Generation {
            state.expect_back(active, now);
        }
    }

    /// Refuses those whose wait is over.
    pub(super) fn expire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some((_, ticket)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let Some(Waiter { arrival, since }) = self.remove(ticket) else {
                // It can only be out of step with the lines by a mistake of ours.
                self.deadlines.pop_first();
                continue;
            };
            let Some(at) = self.index(&arrival.engine) else {
                continue;
            };
            let position = self.engines[at].waiting[lane(arrival.kind)] + 1;
            let wait = self.expected_wait(at, Some(&arrival.model), arrival.kind, position, now);
            let engine = Arc::clone(&arrival.engine);
            let waited = now.saturating_duration_since(since);
            let retry_after = self.come_back(at, &arrival.model, arrival.kind, &wait, now);
            let state = &self.engines[at];
            let refusal = match state.busy_foreign(&arrival) {
                Some((resident, has)) => Refusal::ForeignBusy {
                    engine,
                    kind: state.facts.kind,
                    instance: Arc::clone(&resident.info.instance),
                    has,
                    waited,
                    retry_after,
                },
                None => Refusal::QueueTimeout {
                    engine,
                    waited,
                    retry_after,
                },
            };
            actions.push(Action::Reject(ticket, refusal));
        }
    }

    /// Engines that are configured no more: whoever waits there is told at once.
    pub(super) fn remove_all_but(&mut self, names: &[Arc<str>], actions: &mut Vec<Action>) {
        if self.engines.iter().all(|e| names.contains(&e.facts.name)) {
            return;
        }
        let mut lost: Vec<u64> = Vec::new();
        for (ticket, seat) in &self.seats {
            if !names.contains(&seat.engine) {
                lost.push(*ticket);
            }
        }
        lost.sort_unstable();
        for ticket in lost {
            if let Some(seat) = self.leave(ticket) {
                actions.push(gone(ticket, &seat.name, &seat.engine));
            }
        }
        for at in 0..self.engines.len() {
            if !names.contains(&self.engines[at].facts.name) {
                self.depart(at, false);
            }
        }
        self.engines.retain(|e| names.contains(&e.facts.name));
        let mut active = std::mem::take(&mut self.active);
        active.retain(|ticket, a| names.contains(&a.engine) || self.is_departed(*ticket));
        self.active = active;
        self.pins.retain(|(engine, _), _| names.contains(engine));
    }

    pub(super) fn drain(&mut self, unload: bool, actions: &mut Vec<Action>) {
        self.draining = Some(unload);
        let mut tickets: Vec<u64> = self.seats.keys().copied().collect();
        tickets.sort_unstable();
        for ticket in tickets {
            self.leave(ticket);
            actions.push(Action::Reject(ticket, Refusal::Draining));
        }
        for state in &mut self.engines {
            state.lines.clear();
        }
    }
}

fn gone(ticket: u64, model: &Arc<str>, engine: &Arc<str>) -> Action {
    let refusal = Refusal::NoEngine {
        model: model.to_string(),
        detail: format!("'{engine}' is no longer there"),
        retry_after: 5,
    };
    Action::Reject(ticket, refusal)
}
