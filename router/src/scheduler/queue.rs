//! Who waits: arrivals, bounds, deadlines and what a refused client is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    state::{EngineState, Scheduler, Waiter, evicted},
    types::{Action, Arrival},
};
use crate::{catalog::ModelKind, event::EvictionReason, refusal::Refusal};

/// How long one answer takes where none was measured yet.
const UNMEASURED: Duration = Duration::from_secs(5);
/// Answers until their mean may refuse a request at once.
const ENOUGH: u32 = 5;

/// Whole seconds for `Retry-After`, rounded up, 1..=60.
pub(super) fn retry_after(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + up).clamp(1, 60)
}

// === impl EngineState ===

impl EngineState {
    /// When the waiter at this position of a lane (1 is next) is expected to have a permit.
    pub(super) fn expected_wait(&self, kind: ModelKind, position: usize) -> Duration {
        let (mean, samples) = self.service;
        let mean = if samples == 0 { UNMEASURED } else { mean };
        let permits = match kind {
            ModelKind::Generation => self.facts.permits.max(1),
            ModelKind::Embedding => 1,
        };
        mean.saturating_mul(u32::try_from(position).unwrap_or(u32::MAX)) / permits
    }

    fn position(&self, at: usize) -> usize {
        let kind = self.queue.get(at).map(|w| w.arrival.kind);
        let before = self.queue.iter().take(at);
        before.filter(|w| Some(w.arrival.kind) == kind).count() + 1
    }

    fn measure(&mut self, took: Duration) {
        let (mean, samples) = &mut self.service;
        // The newest eighth counts, or all while there are few.
        let weight = (*samples + 1).min(8);
        *mean = (*mean * (weight - 1) + took) / weight;
        *samples = samples.saturating_add(1);
    }
}

// === impl Scheduler ===

impl Scheduler {
    pub(super) fn arrive(&mut self, arrival: Arrival, now: Instant, actions: &mut Vec<Action>) {
        let ticket = arrival.ticket;
        if self.draining.is_some() {
            return actions.push(Action::Reject(ticket, Refusal::Draining));
        }
        let Some(state) = self.engines.get_mut(&arrival.engine) else {
            return actions.push(gone(&arrival));
        };
        let (engine, kind) = (Arc::clone(&arrival.engine), arrival.kind);
        let deadline = arrival.deadline;
        state.queue.push(Waiter {
            arrival,
            since: now,
            overtaken: 0,
            loaded: false,
        });
        // Who can have a permit now is not a waiter, and who is one too many starts no load.
        self.grant(&engine, now, actions);
        let Some(state) = self.engines.get_mut(&engine) else {
            return;
        };
        if state.queue.last().map(|w| w.arrival.ticket) != Some(ticket) {
            return;
        }
        let position = state.waiting(kind);
        let expected = state.expected_wait(kind, position);
        let refusal = if position > state.facts.queue {
            Refusal::QueueFull {
                engine,
                limit: u32::try_from(state.facts.queue).unwrap_or(u32::MAX),
                retry_after: retry_after(expected),
            }
        } else if state.service.1 >= ENOUGH && now + expected > deadline {
            Refusal::QueueTimeout {
                engine,
                waited: expected,
                retry_after: retry_after(expected),
            }
        } else {
            return;
        };
        state.queue.pop();
        actions.push(Action::Reject(ticket, refusal));
    }

    pub(super) fn cancel(&mut self, ticket: u64) {
        for engine in self.engines.values_mut() {
            engine.queue.retain(|w| w.arrival.ticket != ticket);
        }
    }

    pub(super) fn release(&mut self, ticket: u64, now: Instant, actions: &mut Vec<Action>) {
        let Some(active) = self.active.remove(&ticket) else {
            return;
        };
        let Some(state) = self.engines.get_mut(&active.engine) else {
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
        let resident = &mut state.residents[at];
        resident.active = resident.active.saturating_sub(1);
        resident.idle_since = now;
        if resident.active == 0 && (resident.vanished || resident.assumed) {
            let resident = state.residents.remove(at);
            if resident.tuple.is_some() {
                let reason = EvictionReason::External;
                actions.push(evicted(&active.engine, &resident.info.model, reason));
            }
        }
    }

    /// Refuses those whose wait is over.
    pub(super) fn expire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for state in self.engines.values_mut() {
            let mut at = 0;
            while let Some(waiter) = state.queue.get(at) {
                if now < waiter.arrival.deadline {
                    at += 1;
                    continue;
                }
                let expected = state.expected_wait(waiter.arrival.kind, state.position(at));
                let waiter = state.queue.remove(at);
                let refusal = Refusal::QueueTimeout {
                    engine: waiter.arrival.engine,
                    waited: now.saturating_duration_since(waiter.since),
                    retry_after: retry_after(expected),
                };
                actions.push(Action::Reject(waiter.arrival.ticket, refusal));
            }
        }
    }

    /// Engines that are configured no more: whoever waits there is told at once.
    pub(super) fn remove_all_but(&mut self, names: &[Arc<str>], actions: &mut Vec<Action>) {
        self.engines.retain(|name, state| {
            let stays = names.contains(name);
            if !stays {
                actions.extend(state.queue.iter().map(|w| gone(&w.arrival)));
            }
            stays
        });
        self.active.retain(|_, a| names.contains(&a.engine));
    }

    pub(super) fn drain(&mut self, unload: bool, actions: &mut Vec<Action>) {
        self.draining = Some(unload);
        for state in self.engines.values_mut() {
            let tickets = state.queue.drain(..).map(|w| w.arrival.ticket);
            actions.extend(tickets.map(|t| Action::Reject(t, Refusal::Draining)));
        }
    }
}

fn gone(arrival: &Arrival) -> Action {
    let refusal = Refusal::NoEngine {
        model: arrival.model.to_string(),
        detail: format!("'{}' is no longer there", arrival.engine),
        retry_after: 5,
    };
    Action::Reject(arrival.ticket, refusal)
}
