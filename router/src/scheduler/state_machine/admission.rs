//! Who waits: arrivals, bounds, deadlines and who leaves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    fair_share::{Admission, QueueShares},
    model_queue::{ModelQueue, Waiter},
    model_size::ModelSize,
    state::{EngineState, Scheduler, WaitingTicket, deadline_after, evicted_action, lane_index},
    wait_estimate::{WaitEstimate, retry_after},
};
use crate::{
    catalog::ModelKind,
    event::EvictionReason,
    refusal::Refusal,
    scheduler::messages::{Action, PermitRequest},
};

/// Answers until their mean may refuse a request at once.
const ENOUGH: u32 = 5;

// === impl EngineState ===

impl EngineState {
    fn waiter(&self, entry: &WaitingTicket, ticket: u64) -> Option<&Waiter> {
        self.queues[self.queue_index(&entry.model, entry.option_variant, entry.kind)?]
            .waiter(ticket)
    }

    /// Those who wait in one lane, by client.
    fn queue_shares(&self, kind: ModelKind, now: Instant) -> QueueShares<'_> {
        let queues = self.queues.iter().filter(|queue| queue.kind == kind);
        let waiters = queues.flat_map(ModelQueue::waiters);
        QueueShares::from_waiting(waiters.map(|w| &*w.request), now)
    }

    fn record_service_time(&mut self, took: Duration) {
        let (mean, samples) = &mut self.service_time;
        // The newest eighth counts, or all while there are few.
        let weight = (*samples + 1).min(8);
        *mean = (mean.saturating_mul(weight - 1).saturating_add(took)) / weight;
        *samples = samples.saturating_add(1);
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Puts it in line; gives its ticket.
    pub(super) fn enqueue(
        &mut self,
        request: Arc<PermitRequest>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<u64> {
        let ticket = request.ticket;
        if self.draining.is_some() {
            actions.push(Action::Reject(ticket, Refusal::Draining));
            return None;
        }
        let Some(at) = self.engine_index(&request.engine) else {
            actions.push(engine_gone_action(ticket, &request.name, &request.engine));
            return None;
        };
        self.end_lingers(&request);
        if let Some(hash) = request.supersede_key {
            self.supersede(hash, ticket, actions);
        }
        if request.pin {
            self.pinned_requests.insert(
                (Arc::clone(&request.engine), Arc::clone(&request.model)),
                Arc::clone(&request),
            );
        }
        let variant = self.engines[at].option_variant(&request.name);
        let entry = WaitingTicket {
            engine: Arc::clone(&request.engine),
            model: Arc::clone(&request.model),
            name: Arc::clone(&request.name),
            option_variant: variant,
            kind: request.kind,
            deadline: request.deadline,
            supersede_key: request.supersede_key,
        };
        self.deadlines.insert((request.deadline, ticket));
        let size = match self.engines[at].queue_index(&request.model, variant, request.kind) {
            Some(_) => ModelSize::default(),
            None => self.model_size(&self.engines[at].facts, &request.model),
        };
        let state = &mut self.engines[at];
        state.waiting_by_lane[lane_index(request.kind)] += 1;
        let found = state.queue_index(&request.model, variant, request.kind);
        let queue = found.unwrap_or_else(|| {
            let model = Arc::clone(&request.model);
            state
                .queues
                .push(ModelQueue::new(model, variant, request.kind, size));
            state.queues.len() - 1
        });
        state.queues[queue].push(request, now);
        self.waiting_tickets.insert(ticket, entry);
        Some(ticket)
    }

    fn supersede(&mut self, hash: u64, ticket: u64, actions: &mut Vec<Action>) {
        if let Some(older) = self.supersedable.insert(hash, ticket)
            && self.remove_waiter(older).is_some()
        {
            actions.push(Action::Reject(older, Refusal::Superseded));
            self.supersedable.insert(hash, ticket);
        }
    }

    /// Who can have a permit now is not a waiter; who is one too many starts no load.
    pub(super) fn enforce_queue_limit(
        &mut self,
        ticket: u64,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(entry) = self.waiting_tickets.get(&ticket) else {
            return;
        };
        let (engine, kind, deadline) = (Arc::clone(&entry.engine), entry.kind, entry.deadline);
        let Some(at) = self.engine_index(&engine) else {
            return;
        };
        let state = &self.engines[at];
        let waiting = state.waiting_by_lane[lane_index(kind)];
        let (full, enough) = (
            waiting > state.facts.queue_limit,
            state.service_time.1 >= ENOUGH,
        );
        if !full && !enough {
            return;
        }
        let too_late = |wait: &WaitEstimate| {
            let late = || deadline_after(now, wait.expected).is_none_or(|end| end > deadline);
            wait.measured && enough && late()
        };
        let longest = self.expected_wait(at, Some(&entry.model), kind, waiting, now);
        if !full && !too_late(&longest) {
            // In time behind everybody: whose turn comes before need not be counted.
            return;
        }
        let Some(waiter) = state.waiter(entry, ticket) else {
            return;
        };
        let shares = state.queue_shares(kind, now);
        let client = &waiter.request.client;
        let wait = self.expected_wait(
            at,
            Some(&entry.model),
            kind,
            shares.grants_until_last(client),
            now,
        );
        let admission = if full {
            shares.admit(client, state.facts.queue_limit)
        } else {
            Admission::Admit
        };
        match admission {
            Admission::Refuse => self.refuse_queue_full(at, ticket, now, actions),
            _ if too_late(&wait) => {
                let refusal = Refusal::QueueTimeout {
                    engine,
                    waited: wait.expected,
                    retry_after: retry_after(wait.expected),
                };
                self.remove_waiter(ticket);
                actions.push(Action::Reject(ticket, refusal));
            }
            Admission::Displace(last) => self.refuse_queue_full(at, last, now, actions),
            Admission::Admit => {}
        }
    }

    /// Refuses one for whom the queue of its engine has no place.
    fn refuse_queue_full(
        &mut self,
        at: usize,
        ticket: u64,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[at];
        let entry = self.waiting_tickets.get(&ticket);
        let Some((entry, waiter)) =
            entry.and_then(|entry| Some((entry, state.waiter(entry, ticket)?)))
        else {
            return;
        };
        let shares = state.queue_shares(entry.kind, now);
        let client = &waiter.request.client;
        let position = shares.grants_until_last(client);
        let wait = self.expected_wait(at, Some(&entry.model), entry.kind, position, now);
        let own = shares.count(client).saturating_sub(1);
        let refusal = Refusal::QueueFull {
            engine: Arc::clone(&entry.engine),
            limit: u32::try_from(state.facts.queue_limit).unwrap_or(u32::MAX),
            own: u32::try_from(own).unwrap_or(u32::MAX),
            retry_after: self.retry_after_queue(at, &entry.model, entry.kind, &wait, now),
        };
        self.remove_waiter(ticket);
        actions.push(Action::Reject(ticket, refusal));
    }

    /// When to come back who is refused for this wait. Where no answer has ended yet, nothing is
    /// known of how long a line takes: then the next place that comes free is worth a try.
    fn retry_after_queue(
        &self,
        at: usize,
        model: &Arc<str>,
        kind: ModelKind,
        wait: &WaitEstimate,
        now: Instant,
    ) -> u64 {
        let state = &self.engines[at];
        if state.service_time.1 > 0 || state.facts.service_time.is_some() {
            return retry_after(wait.expected);
        }
        retry_after(self.expected_wait(at, Some(model), kind, 1, now).expected)
    }

    /// Takes a waiter out of its line.
    pub(super) fn remove_waiter(&mut self, ticket: u64) -> Option<Waiter> {
        let entry = self.remove_ticket(ticket)?;
        let state = self.engine_mut(&entry.engine)?;
        let queue = state.queue_index(&entry.model, entry.option_variant, entry.kind)?;
        let waiter = state.queues[queue].remove(ticket);
        if state.queues[queue].is_empty() {
            state.queues.swap_remove(queue);
        }
        waiter
    }

    /// Everything but its place in line.
    pub(super) fn remove_ticket(&mut self, ticket: u64) -> Option<WaitingTicket> {
        let entry = self.waiting_tickets.remove(&ticket)?;
        self.deadlines.remove(&(entry.deadline, ticket));
        if let Some(hash) = entry.supersede_key
            && self.supersedable.get(&hash) == Some(&ticket)
        {
            self.supersedable.remove(&hash);
        }
        if let Some(state) = self.engine_mut(&entry.engine) {
            let waiting = &mut state.waiting_by_lane[lane_index(entry.kind)];
            *waiting = waiting.saturating_sub(1);
        }
        Some(entry)
    }

    pub(super) fn cancel(&mut self, ticket: u64) {
        self.remove_waiter(ticket);
    }

    /// `for_tools`: the answer ended in tool calls.
    pub(super) fn release_permit(
        &mut self,
        ticket: u64,
        for_tools: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.release_detached(ticket);
        let Some(active) = self.active_permits.remove(&ticket) else {
            return;
        };
        let Some(state) = self.engine_mut(&active.engine) else {
            return;
        };
        if active.kind == ModelKind::Embedding {
            state.embedding_permits_out = state.embedding_permits_out.saturating_sub(1);
        } else {
            state.record_service_time(now.saturating_duration_since(active.granted_at));
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
        resident.permits_out = resident.permits_out.saturating_sub(1);
        resident.idle_since = now;
        if resident.permits_out == 0 && (resident.unlisted || resident.assumed) {
            let resident = state.residents.remove(at);
            let pool = Arc::clone(&state.facts.pool);
            self.clear_memory_backoffs(&pool);
            self.clear_memory_ceilings(&pool, &resident.info.model);
            if resident.tuple.is_some() {
                self.revision += 1;
                let reason = EvictionReason::External;
                actions.push(evicted_action(
                    &active.engine,
                    resident.info.name(kind),
                    reason,
                ));
            }
        } else if for_tools && active.kind == ModelKind::Generation {
            state.start_linger(active, now);
        }
    }

    /// Refuses those whose wait is over.
    pub(super) fn refuse_expired(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some((_, ticket)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let Some(Waiter {
                request,
                arrived_at: since,
            }) = self.remove_waiter(ticket)
            else {
                // It can only be out of step with the lines by a mistake of ours.
                self.deadlines.pop_first();
                continue;
            };
            let Some(at) = self.engine_index(&request.engine) else {
                continue;
            };
            let position = self.engines[at].waiting_by_lane[lane_index(request.kind)] + 1;
            let wait = self.expected_wait(at, Some(&request.model), request.kind, position, now);
            let engine = Arc::clone(&request.engine);
            let waited = now.saturating_duration_since(since);
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

    /// Engines that are configured no more: whoever waits there is told at once.
    pub(super) fn retain_engines(&mut self, names: &[Arc<str>], actions: &mut Vec<Action>) {
        if self.engines.iter().all(|e| names.contains(&e.facts.name)) {
            return;
        }
        let mut lost: Vec<u64> = Vec::new();
        for (ticket, entry) in &self.waiting_tickets {
            if !names.contains(&entry.engine) {
                lost.push(*ticket);
            }
        }
        lost.sort_unstable();
        for ticket in lost {
            if let Some(entry) = self.remove_ticket(ticket) {
                actions.push(engine_gone_action(ticket, &entry.name, &entry.engine));
            }
        }
        for at in 0..self.engines.len() {
            if !names.contains(&self.engines[at].facts.name) {
                self.detach_residents(at, false);
            }
        }
        self.engines.retain(|e| names.contains(&e.facts.name));
        let mut active = std::mem::take(&mut self.active_permits);
        active.retain(|ticket, a| names.contains(&a.engine) || self.is_detached(*ticket));
        self.active_permits = active;
        self.pinned_requests
            .retain(|(engine, _), _| names.contains(engine));
    }

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

fn engine_gone_action(ticket: u64, model: &Arc<str>, engine: &Arc<str>) -> Action {
    let refusal = Refusal::NoEngine {
        model: model.to_string(),
        detail: format!("'{engine}' is no longer there"),
        retry_after: 5,
    };
    Action::Reject(ticket, refusal)
}
