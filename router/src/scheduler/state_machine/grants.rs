//! Who is granted now.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use super::{
    model_queue::{ModelQueue, Waiter},
    resident_match::{LimitScope, ResidentMatch},
    state::{ActivePermit, EngineState, Scheduler, deadline_after},
    wait_estimate::retry_after,
};
use crate::{
    catalog::ModelKind,
    refusal::Refusal,
    scheduler::messages::{Action, PermitGrant, PermitRequest},
};

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
struct WaitingSwap {
    engine: usize,
    queue: usize,
    target: SwapTarget,
    /// Of its next.
    ticket: u64,
    /// Interactive requests wait for it.
    interactive: bool,
}

#[derive(Clone, Copy)]
enum SwapTarget {
    /// Anything that may go.
    AnyIn(LimitScope),
    /// This resident of its engine.
    OwnResident(usize),
}

// === impl Swap ===

impl WaitingSwap {
    /// It is more urgent than a request of that class.
    fn more_urgent_than(&self, class: Class) -> bool {
        self.interactive && class == Class::Background
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Grants what can be granted, interactive first and in order of arrival; refuses what never
    /// can.
    pub(super) fn grant_permits(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut heads = BinaryHeap::new();
        for (e, state) in self.engines.iter().enumerate() {
            for (l, queue) in state.queues.iter().enumerate() {
                heads.extend(queue_rank(queue).map(|head| Reverse((head, e, l))));
            }
        }
        let mut swaps = self.waiting_swaps(now);
        let mut emptied = false;
        while let Some(Reverse((_, e, l))) = heads.pop() {
            self.engines[e].queues[l].needs_load = false;
            if self.grant_head(e, l, &mut swaps, now, actions) {
                let next = queue_rank(&self.engines[e].queues[l]);
                heads.extend(next.map(|head| Reverse((head, e, l))));
                emptied |= next.is_none();
            }
        }
        if emptied {
            for state in &mut self.engines {
                state.queues.retain(|l| !l.is_empty());
            }
        }
    }

    /// Gives whether the line went on.
    fn grant_head(
        &mut self,
        e: usize,
        l: usize,
        swaps: &mut Vec<WaitingSwap>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &mut self.engines[e];
        if !state.facts.load_control {
            let queue = &state.queues[l];
            let (model, kind) = (Arc::clone(&queue.model), queue.kind);
            state.assume_resident(&model, kind, now);
        }
        let state = &self.engines[e];
        let queue = &state.queues[l];
        let Some(waiter) = queue.next_waiter() else {
            return false;
        };
        match self.match_resident(state, &state.queues[l], &waiter.request, now) {
            ResidentMatch::PermitFree(resident) => {
                let held = &state.residents[resident];
                let bounds = (state.facts.overtake_count, state.facts.overtake_age);
                let fits = |w: &&Waiter| state.can_serve(held, &w.request);
                let warm = state.queues[l]
                    .warm_waiter(&held.warm_sessions, bounds, now)
                    .filter(fits);
                let request = &warm.unwrap_or(waiter).request;
                let (ticket, class) = (request.ticket, request.class);
                let overtaken = self.overtaken_swaps(swaps, e, resident, request);
                if overtaken
                    .iter()
                    .any(|s| self.overtaking_exhausted(s, class, now))
                {
                    return false;
                }
                for swap in overtaken {
                    self.engines[swap.engine].queues[swap.queue].times_overtaken += 1;
                }
                self.grant_to((e, l, ticket), resident, now, actions);
                return true;
            }
            ResidentMatch::Unavailable(refusal) => return self.refuse_head(e, l, refusal, actions),
            ResidentMatch::NeedsLoad
            | ResidentMatch::NeedsEviction(_)
            | ResidentMatch::NeedsGrowth(_)
            | ResidentMatch::NeedsOtherOptions(_)
            | ResidentMatch::InTransition
                if waiter.request.resident_only =>
            {
                let refusal = Refusal::NoEngine {
                    model: waiter.request.model.to_string(),
                    detail: format!("'{}' does not hold it", waiter.request.engine),
                    retry_after: 1,
                };
                return self.refuse_head(e, l, refusal, actions);
            }
            matched @ (ResidentMatch::NeedsLoad
            | ResidentMatch::NeedsEviction(_)
            | ResidentMatch::NeedsGrowth(_)
            | ResidentMatch::NeedsOtherOptions(_)) => {
                if let Some(refusal) = self.backoff_refusal(e, l, now) {
                    return self.refuse_head(e, l, refusal, actions);
                }
                self.engines[e].queues[l].needs_load = true;
                if !swaps.iter().any(|s| (s.engine, s.queue) == (e, l)) {
                    swaps.extend(self.waiting_swap(e, l, &matched));
                }
                return self.grant_while_growing(e, l, swaps, now, actions);
            }
            ResidentMatch::PermitsBusy | ResidentMatch::InTransition => {}
        }
        false
    }

    /// While one waits for its model to grow, others may use it as it is, within the bounds on
    /// overtaking; gives whether one did.
    fn grant_while_growing(
        &mut self,
        e: usize,
        l: usize,
        swaps: &[WaitingSwap],
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(own) = swaps.iter().find(|s| (s.engine, s.queue) == (e, l)) else {
            return false;
        };
        let state = &self.engines[e];
        let serves = |waiter: &Waiter| {
            let request = &waiter.request;
            let mut residents = state.residents.iter();
            let at = residents.position(|r| {
                r.info.model == request.model && !r.unlisted && state.can_serve(r, request)
            })?;
            Some((Arc::clone(request), at))
        };
        let Some((request, at)) = state.queues[l].other_heads().find_map(serves) else {
            return false;
        };
        let mut overtaken = self.overtaken_swaps(swaps, e, at, &request);
        overtaken.retain(|s| (s.engine, s.queue) != (e, l));
        let ends = |s: &WaitingSwap| self.overtaking_exhausted(s, request.class, now);
        if ends(own) || overtaken.iter().any(ends) {
            return false;
        }
        for swap in overtaken {
            self.engines[swap.engine].queues[swap.queue].times_overtaken += 1;
        }
        self.grant_to((e, l, request.ticket), at, now, actions);
        true
    }

    /// The lines that wait for something busy, before anything is granted.
    fn waiting_swaps(&self, now: Instant) -> Vec<WaitingSwap> {
        let mut swaps = Vec::new();
        for (e, state) in self.engines.iter().enumerate() {
            if !state.facts.load_control {
                continue;
            }
            for (l, queue) in state.queues.iter().enumerate() {
                let Some(waiter) = queue.next_waiter() else {
                    continue;
                };
                let matched = self.match_resident(state, queue, &waiter.request, now);
                let swap = self.waiting_swap(e, l, &matched);
                swaps.extend(swap.filter(|_| self.backoff_refusal(e, l, now).is_none()));
            }
        }
        swaps
    }

    fn waiting_swap(
        &self,
        engine: usize,
        queue: usize,
        matched: &ResidentMatch,
    ) -> Option<WaitingSwap> {
        let what = match matched {
            ResidentMatch::NeedsEviction(scope) => SwapTarget::AnyIn(*scope),
            ResidentMatch::NeedsGrowth(at) | ResidentMatch::NeedsOtherOptions(at) => {
                SwapTarget::OwnResident(*at)
            }
            _ => return None,
        };
        let waits = &self.engines[engine].queues[queue];
        Some(WaitingSwap {
            engine,
            queue,
            target: what,
            ticket: waits.next_waiter()?.request.ticket,
            interactive: waits.has_interactive(),
        })
    }

    /// The swaps that wait for this resident to become idle and are older than who would be granted
    /// it, or more urgent. Who made it be loaded is granted before that counts.
    fn overtaken_swaps(
        &self,
        swaps: &[WaitingSwap],
        e: usize,
        resident: usize,
        request: &PermitRequest,
    ) -> Vec<WaitingSwap> {
        let state = &self.engines[e];
        let held = &state.residents[resident];
        let waits = |s: &&WaitingSwap| match s.target {
            SwapTarget::AnyIn(scope) => {
                Self::is_candidate_for(scope, &self.engines[s.engine], state, held)
            }
            SwapTarget::OwnResident(at) => s.engine == e && at == resident,
        };
        let first =
            |s: &&WaitingSwap| s.ticket < request.ticket || s.more_urgent_than(request.class);
        swaps.iter().filter(first).filter(waits).copied().collect()
    }

    fn overtaking_exhausted(&self, swap: &WaitingSwap, class: Class, now: Instant) -> bool {
        let state = &self.engines[swap.engine];
        let bounds = self.overtaking_bounds(
            state,
            &state.queues[swap.queue],
            swap.more_urgent_than(class),
        );
        bounds.used_up || bounds.ends.is_some_and(|end| end <= now)
    }

    /// The bounds on overtaking that line; `pressed`: by somebody less urgent.
    pub(super) fn overtaking_bounds(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        pressed: bool,
    ) -> Overtaking {
        let facts = &state.facts;
        let from = |since: Instant| state.last_load_ended.map_or(since, |at| at.max(since));
        let load = self.load_time(&facts.name, &queue.model);
        let times = match load {
            Some(load) if !pressed => bound_factor(load, facts.overtake_age),
            _ => 1.0,
        };
        let age = Duration::try_from_secs_f64(facts.overtake_age.as_secs_f64() * times);
        let age = age.unwrap_or(Duration::MAX);
        Overtaking {
            used_up: f64::from(queue.times_overtaken) >= f64::from(facts.overtake_count) * times,
            ends: queue
                .oldest_arrival()
                .and_then(|since| deadline_after(from(since), age)),
        }
    }

    /// The last load of that model failed, and it is too early to try again. One that was missing may
    /// have been pulled anew, and to ask for it costs an engine nothing.
    fn backoff_refusal(&self, e: usize, l: usize, now: Instant) -> Option<Refusal> {
        let state = &self.engines[e];
        let (engine, model) = (
            Arc::clone(&state.facts.name),
            Arc::clone(&state.queues[l].model),
        );
        let key = state.backoff_key(&model, &state.queues[l].next_waiter()?.request.name);
        let failure = self.load_backoffs.get(&key)?;
        if failure.model_missing || now >= failure.retry_at {
            return None;
        }
        Some(Refusal::LoadFailed {
            engine,
            model: Arc::clone(&state.queues[l].next_waiter()?.request.name),
            message: failure.message.clone(),
            retry_after: retry_after(failure.retry_at.saturating_duration_since(now)),
        })
    }

    fn refuse_head(&mut self, e: usize, l: usize, why: Refusal, actions: &mut Vec<Action>) -> bool {
        let queue = &mut self.engines[e].queues[l];
        let next = queue.next_waiter().map(|w| w.request.ticket);
        let Some(ticket) = next.filter(|ticket| queue.remove(*ticket).is_some()) else {
            return false;
        };
        self.remove_ticket(ticket);
        actions.push(Action::Reject(ticket, why));
        true
    }

    fn grant_to(
        &mut self,
        (e, l, ticket): (usize, usize, u64),
        at: usize,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let queue = &mut self.engines[e].queues[l];
        let loaded_to = queue.last_ticket_of_load;
        let Some(waiter) = queue.take(ticket) else {
            return;
        };
        let request = waiter.request;
        self.remove_ticket(ticket);
        let state = &mut self.engines[e];
        let permits = state.facts.permits_per_resident;
        let resident = &mut state.residents[at];
        resident.occupy_slot(request.session, permits);
        resident.permits_out += 1;
        resident.never_granted = false;
        if request.kind == ModelKind::Embedding {
            state.embedding_permits_out += 1;
        }
        let state = &self.engines[e];
        let resident = &state.residents[at];
        let of_others = self.owner_options(state, resident);
        actions.push(Action::Grant(PermitGrant {
            ticket,
            resident: resident.info.clone(),
            tuple: of_others.unwrap_or_else(|| state.options_for_request(resident, &request)),
            waited_for_load: ticket <= loaded_to,
        }));
        let permit = ActivePermit {
            engine: Arc::clone(&request.engine),
            instance: Arc::clone(&resident.info.instance),
            kind: request.kind,
            granted_at: now,
            client: request.client.clone(),
            session: request.session,
            class: request.class,
        };
        self.active_permits.insert(ticket, permit);
    }
}

/// Where the next of a line stands among those of all lines.
fn queue_rank(queue: &ModelQueue) -> Option<(bool, u64)> {
    let request = &queue.next_waiter()?.request;
    Some((request.class == Class::Background, request.ticket))
}

/// How many times as wide the bounds on overtaking are for a model that takes so long to load.
fn bound_factor(load: Duration, age: Duration) -> f64 {
    let earned = load.saturating_mul(SERVED_PER_LOADED).as_secs_f64();
    (earned / age.as_secs_f64()).clamp(1.0, STRETCH)
}
