//! Requests and permits that go: cancelled, expired or superseded requests, permits that come back, and
//! engines that are configured no more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    engine_state::EngineState,
    model_key::lane_index,
    model_queue::Waiter,
    state::{Scheduler, WaitingTicket},
};
use crate::{
    catalog::ModelKind, event::EvictionReason, refusal::Refusal, scheduler::messages::Action,
};

/// The newest answer weighs at least one part of this many in the mean service time.
const SERVICE_WINDOW: u32 = 8;

// === impl EngineState ===

impl EngineState {
    /// Takes the time of one answer into the mean.
    fn record_service_time(&mut self, took: Duration) {
        let (mean, samples) = &mut self.service_time;
        let weight = (*samples + 1).min(SERVICE_WINDOW);
        *mean = (mean.saturating_mul(weight - 1).saturating_add(took)) / weight;
        *samples = samples.saturating_add(1);
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Takes a waiting request out of its queue and forgets its ticket.
    pub(super) fn remove_waiter(&mut self, ticket: u64) -> Option<Waiter> {
        let entry = self.remove_ticket(ticket)?;
        let state = self.engine_mut(&entry.engine)?;
        let at = state.queue_index(&entry.model, entry.option_variant, entry.kind)?;
        let waiter = state.queues[at].remove(ticket);
        if state.queues[at].is_empty() {
            state.queues.swap_remove(at);
        }
        waiter
    }

    /// Forgets a ticket everywhere but in the queue of its model.
    pub(super) fn remove_ticket(&mut self, ticket: u64) -> Option<WaitingTicket> {
        let entry = self.waiting_tickets.remove(&ticket)?;
        self.deadlines.remove(&(entry.deadline, ticket));
        if let Some(key) = entry.supersede_key
            && self.supersedable.get(&key) == Some(&ticket)
        {
            self.supersedable.remove(&key);
        }
        if let Some(state) = self.engine_mut(&entry.engine) {
            let waiting = &mut state.waiting_by_lane[lane_index(entry.kind)];
            *waiting = waiting.saturating_sub(1);
        }
        Some(entry)
    }

    /// Takes a permit back. After an answer that ended in tool calls (`for_tools`) the model is kept
    /// for the agent's next turn.
    pub(super) fn release_permit(
        &mut self,
        ticket: u64,
        for_tools: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.release_detached(ticket);
        let Some(permit) = self.active_permits.remove(&ticket) else {
            return;
        };
        let Some(state) = self.engine_mut(&permit.engine) else {
            return;
        };
        if permit.kind == ModelKind::Embedding {
            state.embedding_permits_out = state.embedding_permits_out.saturating_sub(1);
        } else {
            state.record_service_time(now.saturating_duration_since(permit.granted_at));
        }
        let mut residents = state.residents.iter();
        let Some(at) = residents.position(|r| r.info.instance == permit.instance) else {
            return;
        };
        let kind = state.facts.kind;
        let resident = &mut state.residents[at];
        resident.permits_out = resident.permits_out.saturating_sub(1);
        resident.idle_since = now;
        if resident.permits_out == 0 && (resident.unlisted || resident.assumed) {
            let resident = state.residents.remove(at);
            let pool = Arc::clone(&state.facts.pool);
            self.clear_memory_backoffs(&pool);
            self.clear_memory_ceilings(&pool, &resident.info.model);
            if resident.tuple.is_some() {
                self.revision += 1;
                let (name, reason) = (resident.info.name(kind), EvictionReason::External);
                actions.push(Action::evicted(&permit.engine, name, reason));
            }
        } else if for_tools && permit.kind == ModelKind::Generation {
            state.start_linger(permit, now);
        }
    }

    /// The tickets of the permits that are out on an engine.
    pub(crate) fn tickets_out(&self, engine: &str) -> Vec<u64> {
        let permits = self.active_permits.iter();
        let on_engine = permits.filter(|(_, permit)| *permit.engine == *engine);
        on_engine.map(|(ticket, _)| *ticket).collect()
    }

    /// Refuses every request whose deadline has come.
    pub(super) fn refuse_expired(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some((_, ticket)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let Some(Waiter {
                request,
                arrived_at,
            }) = self.remove_waiter(ticket)
            else {
                // A deadline without a waiter would be a bug; it must not become an endless loop.
                self.deadlines.pop_first();
                continue;
            };
            let Some(at) = self.engine_index(&request.engine) else {
                continue;
            };
            let position = self.engines[at].waiting_by_lane[lane_index(request.kind)] + 1;
            let wait = self.expected_wait(at, Some(&request.model), request.kind, position, now);
            let engine = Arc::clone(&request.engine);
            let waited = now.saturating_duration_since(arrived_at);
            let retry_after = self.retry_after_queue(at, &request.model, request.kind, &wait, now);
            let state = &self.engines[at];
            let refusal = match state.busy_foreign_resident(&request) {
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

    /// Removes the engines that are configured no more, and refuses who waits for them.
    pub(super) fn retain_engines(&mut self, names: &[Arc<str>], actions: &mut Vec<Action>) {
        if self.engines.iter().all(|e| names.contains(&e.facts.name)) {
            return;
        }
        let waiting = self.waiting_tickets.iter();
        let lost = waiting.filter(|(_, entry)| !names.contains(&entry.engine));
        let mut lost: Vec<u64> = lost.map(|(ticket, _)| *ticket).collect();
        lost.sort_unstable();
        for ticket in lost {
            if let Some(entry) = self.remove_ticket(ticket) {
                actions.push(Action::engine_gone(ticket, &entry.name, &entry.engine));
            }
        }
        for at in 0..self.engines.len() {
            if !names.contains(&self.engines[at].facts.name) {
                self.detach_residents(at, false);
            }
        }
        self.engines.retain(|e| names.contains(&e.facts.name));
        let mut active = std::mem::take(&mut self.active_permits);
        active.retain(|ticket, p| names.contains(&p.engine) || self.is_detached(*ticket));
        self.active_permits = active;
        self.pinned_requests
            .retain(|(engine, _), _| names.contains(engine));
    }

    /// Begins the end of Crucible: refuses everybody who waits. `unload`: what Crucible loaded is
    /// unloaded as soon as it is idle.
    pub(super) fn start_drain(&mut self, unload: bool, actions: &mut Vec<Action>) {
        self.draining = Some(unload);
        let mut tickets: Vec<u64> = self.waiting_tickets.keys().copied().collect();
        tickets.sort_unstable();
        for ticket in tickets {
            self.remove_ticket(ticket);
            actions.push(Action::Reject(ticket, Refusal::Draining));
        }
        for state in &mut self.engines {
            state.queues.clear();
        }
    }
}
