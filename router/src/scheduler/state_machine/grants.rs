//! The grants of permits that are free.
//!
//! In each step the next requests of all queues are looked at, interactive ones first and then in order
//! of arrival. One that is matched with a free permit is granted, one that can never be served is
//! refused, and one that needs a load marks its queue for [`Scheduler::start_operations`].

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Instant};

use crucible_config::checked::Class;

use super::{
    model_key::QueuePosition,
    model_queue::{ModelQueue, Waiter},
    overtaking::WaitingSwap,
    resident_match::ResidentMatch,
    state::{ActivePermit, Scheduler},
    wait_estimate::retry_after,
};
use crate::{
    catalog::ModelKind,
    refusal::Refusal,
    scheduler::messages::{Action, PermitGrant},
};

/// The place of a queue's next request among those of all queues, the smallest first: whether it is
/// background, and its ticket.
fn head_rank(queue: &ModelQueue) -> Option<(bool, u64)> {
    let request = &queue.next_waiter()?.request;
    Some((request.class == Class::Background, request.ticket))
}

// === impl Scheduler ===

impl Scheduler {
    /// The queue at this position, which must be one of the step's own.
    pub(super) fn queue(&self, at: QueuePosition) -> &ModelQueue {
        &self.engines[at.engine].queues[at.queue]
    }

    /// The same, to be changed.
    pub(super) fn queue_mut(&mut self, at: QueuePosition) -> &mut ModelQueue {
        &mut self.engines[at.engine].queues[at.queue]
    }

    /// Grants every permit that can be granted now, and refuses every request that never can be.
    pub(super) fn grant_permits(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut heads = BinaryHeap::new();
        for (engine, state) in self.engines.iter().enumerate() {
            for (queue, waiting) in state.queues.iter().enumerate() {
                let at = QueuePosition { engine, queue };
                heads.extend(head_rank(waiting).map(|rank| Reverse((rank, at))));
            }
        }
        let mut swaps = self.waiting_swaps(now);
        let mut emptied = false;
        while let Some(Reverse((_, at))) = heads.pop() {
            self.queue_mut(at).needs_load = false;
            if self.serve_head(at, &mut swaps, now, actions) {
                let next = head_rank(self.queue(at));
                heads.extend(next.map(|rank| Reverse((rank, at))));
                emptied |= next.is_none();
            }
        }
        if emptied {
            for state in &mut self.engines {
                state.queues.retain(|queue| !queue.is_empty());
            }
        }
    }

    /// Grants or refuses the next request of a queue. Returns false where the queue has to wait.
    fn serve_head(
        &mut self,
        at: QueuePosition,
        swaps: &mut Vec<WaitingSwap>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &mut self.engines[at.engine];
        if !state.facts.load_control {
            let queue = &state.queues[at.queue];
            let (model, kind) = (Arc::clone(&queue.model), queue.kind);
            state.assume_resident(&model, kind, now);
        }
        let state = &self.engines[at.engine];
        let queue = self.queue(at);
        let Some(waiter) = queue.next_waiter() else {
            return false;
        };
        let matched = self.match_resident(state, queue, &waiter.request, now);
        let waits = match &matched {
            ResidentMatch::PermitFree(resident) => {
                return self.grant_head(at, *resident, swaps, now, actions);
            }
            ResidentMatch::Unavailable(refusal) => Some(refusal.clone()),
            ResidentMatch::PermitsBusy => return false,
            _ if waiter.request.resident_only => Some(Refusal::NoEngine {
                model: waiter.request.model.to_string(),
                detail: format!("'{}' does not hold it", waiter.request.engine),
                retry_after: 1,
            }),
            ResidentMatch::InTransition => return false,
            _ => self.backoff_refusal(at, now),
        };
        if let Some(refusal) = waits {
            return self.refuse_head(at, refusal, actions);
        }
        self.queue_mut(at).needs_load = true;
        if !swaps.iter().any(|swap| swap.queue == at) {
            swaps.extend(self.waiting_swap(at, &matched));
        }
        self.grant_while_growing(at, swaps, now, actions)
    }

    /// Grants a permit of this resident to the next request of a queue, or to one whose session is
    /// still warm in a slot of it, unless a swap may not be overtaken any more.
    fn grant_head(
        &mut self,
        at: QueuePosition,
        resident: usize,
        swaps: &[WaitingSwap],
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &self.engines[at.engine];
        let queue = self.queue(at);
        let Some(waiter) = queue.next_waiter() else {
            return false;
        };
        let found = &state.residents[resident];
        let bounds = (state.facts.overtake_count, state.facts.overtake_age);
        let warm = queue.warm_waiter(&found.warm_sessions, bounds, now);
        let warm = warm.filter(|w| state.can_serve(found, &w.request));
        let request = &warm.unwrap_or(waiter).request;
        let (ticket, class) = (request.ticket, request.class);
        let overtaken = self.overtaken_swaps(swaps, at.engine, resident, request);
        let exhausted = |swap: &WaitingSwap| self.overtaking_exhausted(swap, class, now);
        if overtaken.iter().any(exhausted) {
            return false;
        }
        self.count_overtaken(&overtaken);
        self.grant_to(at, ticket, resident, now, actions);
        true
    }

    /// Grants a permit to another client's request while the next one of its queue waits for the model
    /// to grow, within the bounds on overtaking. Returns whether it granted one.
    fn grant_while_growing(
        &mut self,
        at: QueuePosition,
        swaps: &[WaitingSwap],
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(own) = swaps.iter().find(|swap| swap.queue == at) else {
            return false;
        };
        let state = &self.engines[at.engine];
        let serves = |waiter: &Waiter| {
            let request = &waiter.request;
            let mut residents = state.residents.iter();
            let resident = residents.position(|r| {
                r.info.model == request.model && !r.unlisted && state.can_serve(r, request)
            })?;
            Some((Arc::clone(request), resident))
        };
        let Some((request, resident)) = self.queue(at).other_heads().find_map(serves) else {
            return false;
        };
        let mut overtaken = self.overtaken_swaps(swaps, at.engine, resident, &request);
        overtaken.retain(|swap| swap.queue != at);
        let exhausted = |swap: &WaitingSwap| self.overtaking_exhausted(swap, request.class, now);
        if exhausted(own) || overtaken.iter().any(exhausted) {
            return false;
        }
        self.count_overtaken(&overtaken);
        self.grant_to(at, request.ticket, resident, now, actions);
        true
    }

    /// The refusal of a queue's next request where the last load of its model failed and it is too early
    /// to try again. A model that was missing may be back, and asking for it costs an engine nothing:
    /// it is always tried again.
    pub(super) fn backoff_refusal(&self, at: QueuePosition, now: Instant) -> Option<Refusal> {
        let state = &self.engines[at.engine];
        let queue = self.queue(at);
        let name = &queue.next_waiter()?.request.name;
        let backoff = self
            .load_backoffs
            .get(&state.backoff_key(&queue.model, name))?;
        if backoff.model_missing || now >= backoff.retry_at {
            return None;
        }
        Some(Refusal::LoadFailed {
            engine: Arc::clone(&state.facts.name),
            model: Arc::clone(name),
            message: backoff.message.clone(),
            retry_after: retry_after(backoff.retry_at.saturating_duration_since(now)),
        })
    }

    /// Refuses the next request of a queue; returns whether there was one.
    fn refuse_head(&mut self, at: QueuePosition, why: Refusal, actions: &mut Vec<Action>) -> bool {
        let queue = self.queue_mut(at);
        let next = queue.next_waiter().map(|w| w.request.ticket);
        let Some(ticket) = next.filter(|ticket| queue.remove(*ticket).is_some()) else {
            return false;
        };
        self.remove_ticket(ticket);
        actions.push(Action::Reject(ticket, why));
        true
    }

    /// Grants a permit of the resident at this position to the request with that ticket.
    fn grant_to(
        &mut self,
        at: QueuePosition,
        ticket: u64,
        resident: usize,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let queue = self.queue_mut(at);
        let last_ticket_of_load = queue.last_ticket_of_load;
        let Some(waiter) = queue.take(ticket) else {
            return;
        };
        let request = waiter.request;
        self.remove_ticket(ticket);
        let state = &mut self.engines[at.engine];
        let permits = state.facts.permits_per_resident;
        let granted = &mut state.residents[resident];
        granted.occupy_slot(request.session, permits);
        granted.permits_out += 1;
        granted.never_granted = false;
        if request.kind == ModelKind::Embedding {
            state.embedding_permits_out += 1;
        }
        let state = &self.engines[at.engine];
        let granted = &state.residents[resident];
        let of_owner = self.owner_options(state, granted);
        actions.push(Action::Grant(PermitGrant {
            ticket,
            resident: granted.info.clone(),
            tuple: of_owner.unwrap_or_else(|| state.options_for_request(granted, &request)),
            context_share: state.context_share(granted, &request),
            waited_for_load: ticket <= last_ticket_of_load,
        }));
        let permit = ActivePermit {
            engine: Arc::clone(&request.engine),
            instance: Arc::clone(&granted.info.instance),
            kind: request.kind,
            granted_at: now,
            client: request.client.clone(),
            session: request.session,
            class: request.class,
        };
        self.active_permits.insert(ticket, permit);
    }
}
