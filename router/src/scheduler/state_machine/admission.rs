//! Requests that come: each joins the queue of its model, unless the queue of its engine is full or the
//! wait would be too long.
//!
//! A request that is granted in its own step never counts as waiting, so the limits are enforced after
//! the grants of the step. A request beyond them starts no load.

use std::{sync::Arc, time::Instant};

use super::{
    engine_state::EngineState,
    fair_share::{Admission, QueueShares},
    model_key::{deadline_after, lane_index},
    model_queue::{ModelQueue, Waiter},
    model_size::ModelSize,
    state::{Scheduler, WaitingTicket},
    wait_estimate::{WaitEstimate, retry_after},
};
use crate::{
    catalog::ModelKind,
    refusal::Refusal,
    scheduler::messages::{Action, PermitRequest},
};

/// The answers that have to be measured before their mean may refuse a request at once.
const ENOUGH_ANSWERS: u32 = 5;

// === impl EngineState ===

impl EngineState {
    /// The waiting request of a ticket.
    fn waiter(&self, entry: &WaitingTicket, ticket: u64) -> Option<&Waiter> {
        let at = self.queue_index(&entry.model, entry.option_variant, entry.kind)?;
        self.queues[at].waiter(ticket)
    }

    /// Those who wait in one lane, by client.
    fn queue_shares(&self, kind: ModelKind, now: Instant) -> QueueShares<'_> {
        let queues = self.queues.iter().filter(|queue| queue.kind == kind);
        let waiters = queues.flat_map(ModelQueue::waiters);
        QueueShares::from_waiting(waiters.map(|w| &*w.request), now)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Puts a request into the queue of its model, and returns its ticket; `None` where it is refused.
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
            let gone = Action::engine_gone(ticket, &request.name, &request.engine);
            actions.push(gone);
            return None;
        };
        self.end_lingers(&request);
        if let Some(key) = request.supersede_key {
            self.supersede(key, ticket, actions);
        }
        if request.pin {
            let key = self.engines[at].model_key(&request.model);
            self.pinned_requests.insert(key, Arc::clone(&request));
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
        let found = self.engines[at].queue_index(&request.model, variant, request.kind);
        let size = match found {
            Some(_) => ModelSize::default(),
            None => self.model_size(&self.engines[at].facts, &request.model),
        };
        let state = &mut self.engines[at];
        state.waiting_by_lane[lane_index(request.kind)] += 1;
        let queue = found.unwrap_or_else(|| {
            let model = Arc::clone(&request.model);
            let queue = ModelQueue::new(model, variant, request.kind, size);
            state.queues.push(queue);
            state.queues.len() - 1
        });
        state.queues[queue].push(request, now);
        self.waiting_tickets.insert(ticket, entry);
        Some(ticket)
    }

    /// Refuses the waiting request that this one replaces.
    fn supersede(&mut self, key: u64, ticket: u64, actions: &mut Vec<Action>) {
        if let Some(older) = self.supersedable.insert(key, ticket)
            && self.remove_waiter(older).is_some()
        {
            actions.push(Action::Reject(older, Refusal::Superseded));
            self.supersedable.insert(key, ticket);
        }
    }

    /// Enforces the limit of a queue after a request has joined it and was not granted: one that would
    /// wait beyond its deadline is refused, and in a full queue the request that fair sharing says.
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
        let full = waiting > state.facts.queue_limit;
        let enough = state.service_time.1 >= ENOUGH_ANSWERS;
        if !full && !enough {
            return;
        }
        let too_late = |wait: &WaitEstimate| {
            let late = || deadline_after(now, wait.expected).is_none_or(|end| end > deadline);
            wait.measured && enough && late()
        };
        let estimate = |position| self.expected_wait(at, Some(&entry.model), kind, position, now);
        if !full && !too_late(&estimate(waiting)) {
            // In time behind everybody: whose turn comes before need not be counted.
            return;
        }
        let Some(waiter) = state.waiter(entry, ticket) else {
            return;
        };
        let shares = state.queue_shares(kind, now);
        let client = &waiter.request.client;
        let wait = estimate(shares.grants_until_last(client));
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

    /// Refuses a waiting request because the queue of its engine is full.
    fn refuse_queue_full(
        &mut self,
        at: usize,
        ticket: u64,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[at];
        let Some(entry) = self.waiting_tickets.get(&ticket) else {
            return;
        };
        let Some(waiter) = state.waiter(entry, ticket) else {
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

    /// The seconds after which a request that is refused for this wait may come back. Where no answer
    /// has ended yet, nothing is known of how long a queue takes: then it is when the next request of
    /// the queue may be granted.
    pub(super) fn retry_after_queue(
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
}
