//! The bounds within which requests for loaded models may overtake a queue that waits for one of them
//! to become idle.
//!
//! Without overtaking a loaded model would stand still while its last answers end; without bounds the
//! queue would starve. A queue is overtaken at most `overtake_count` times between two loads, and not
//! at all once its oldest request has waited `overtake_age`. Both bounds are stretched, up to four
//! times, where the model that waits is slow to load.

use std::time::{Duration, Instant};

use crucible_config::checked::Class;

use super::{
    engine_state::EngineState,
    limit_scope::LimitScope,
    model_key::{QueuePosition, deadline_after},
    model_queue::ModelQueue,
    resident_match::ResidentMatch,
    state::Scheduler,
};
use crate::scheduler::messages::PermitRequest;

/// The multiple of the next model's load time for which a loaded model serves before that one is
/// loaded.
const SERVED_PER_LOADED: u32 = 6;
/// The largest factor by which the bounds on overtaking become wider for that.
const MOST_STRETCH: f64 = 4.0;

/// The limits within which a queue that waits for a busy resident may still be overtaken.
pub(super) struct OvertakingBounds {
    /// Whether as many requests as may overtake the queue have done so.
    pub(super) used_up: bool,
    /// The time from which on nobody overtakes the queue; `None` where no clock reaches it.
    pub(super) ends: Option<Instant>,
}

/// A queue that waits for a busy resident to become idle, so that it can be unloaded in favour of
/// the queue's model.
#[derive(Clone, Copy)]
pub(super) struct WaitingSwap {
    /// The queue that waits.
    pub(super) queue: QueuePosition,
    /// The residents of which one has to go.
    target: SwapTarget,
    /// The ticket of the queue's next request.
    ticket: u64,
    /// Whether interactive requests wait in the queue.
    interactive: bool,
}

/// The residents that a waiting swap may unload.
#[derive(Clone, Copy)]
enum SwapTarget {
    /// Any evictable resident of this scope.
    AnyIn(LimitScope),
    /// The resident at this position of its engine.
    OwnResident(usize),
}

/// The factor by which the bounds are stretched for a model that takes `load` to load.
fn stretch(load: Duration, overtake_age: Duration) -> f64 {
    let earned = load.saturating_mul(SERVED_PER_LOADED).as_secs_f64();
    (earned / overtake_age.as_secs_f64()).clamp(1.0, MOST_STRETCH)
}

// === impl WaitingSwap ===

impl WaitingSwap {
    /// Whether it goes before a request of that class whoever came first.
    fn more_urgent_than(&self, class: Class) -> bool {
        self.interactive && class == Class::Background
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The queues that wait for something busy, as things are before anything is granted.
    pub(super) fn waiting_swaps(&self, now: Instant) -> Vec<WaitingSwap> {
        let mut swaps = Vec::new();
        for (engine, state) in self.engines.iter().enumerate() {
            if !state.facts.load_control {
                continue;
            }
            for (queue, waiting) in state.queues.iter().enumerate() {
                let Some(waiter) = waiting.next_waiter() else {
                    continue;
                };
                let at = QueuePosition { engine, queue };
                let matched = self.match_resident(state, waiting, &waiter.request, now);
                let swap = self.waiting_swap(at, &matched);
                swaps.extend(swap.filter(|_| self.backoff_refusal(at, now).is_none()));
            }
        }
        swaps
    }

    /// The swap that a queue waits for, if its next request is matched like that.
    pub(super) fn waiting_swap(
        &self,
        at: QueuePosition,
        matched: &ResidentMatch,
    ) -> Option<WaitingSwap> {
        let target = match matched {
            ResidentMatch::NeedsEviction(scope) => SwapTarget::AnyIn(*scope),
            ResidentMatch::NeedsGrowth(at) | ResidentMatch::NeedsOtherOptions(at) => {
                SwapTarget::OwnResident(*at)
            }
            _ => return None,
        };
        let queue = self.queue(at);
        Some(WaitingSwap {
            queue: at,
            target,
            ticket: queue.next_waiter()?.request.ticket,
            interactive: queue.has_interactive(),
        })
    }

    /// The swaps that a grant of this resident to this request would overtake: they wait for it to
    /// become idle, and came before the request or are more urgent. A resident that waits for its first
    /// grant is no swap's target yet.
    pub(super) fn overtaken_swaps(
        &self,
        swaps: &[WaitingSwap],
        engine: usize,
        resident: usize,
        request: &PermitRequest,
    ) -> Vec<WaitingSwap> {
        let state = &self.engines[engine];
        let waits = |swap: &&WaitingSwap| match swap.target {
            SwapTarget::AnyIn(scope) => {
                let waiting = &self.engines[swap.queue.engine];
                let kind = waiting.queues[swap.queue.queue].kind;
                Self::is_candidate_for(scope, kind, waiting, state, &state.residents[resident])
            }
            SwapTarget::OwnResident(at) => swap.queue.engine == engine && at == resident,
        };
        let first = |swap: &&WaitingSwap| {
            swap.ticket < request.ticket || swap.more_urgent_than(request.class)
        };
        swaps.iter().filter(first).filter(waits).copied().collect()
    }

    /// Whether a request of that class may not overtake this swap any more.
    pub(super) fn overtaking_exhausted(
        &self,
        swap: &WaitingSwap,
        class: Class,
        now: Instant,
    ) -> bool {
        let state = &self.engines[swap.queue.engine];
        let queue = &state.queues[swap.queue.queue];
        let bounds = self.overtaking_bounds(state, queue, swap.more_urgent_than(class));
        bounds.used_up || bounds.ends.is_some_and(|end| end <= now)
    }

    /// Counts that each of these swaps was overtaken once.
    pub(super) fn count_overtaken(&mut self, swaps: &[WaitingSwap]) {
        for swap in swaps {
            self.queue_mut(swap.queue).times_overtaken += 1;
        }
    }

    /// The bounds on overtaking a queue; `by_less_urgent`: by background requests while interactive
    /// ones wait in it, for which nothing is stretched.
    pub(super) fn overtaking_bounds(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        by_less_urgent: bool,
    ) -> OvertakingBounds {
        let facts = &state.facts;
        let load = self.load_time(&facts.name, &queue.model);
        let factor = match load {
            Some(load) if !by_less_urgent => stretch(load, facts.overtake_age),
            _ => 1.0,
        };
        let age = Duration::try_from_secs_f64(facts.overtake_age.as_secs_f64() * factor);
        let age = age.unwrap_or(Duration::MAX);
        // Else in a long queue every model would be swapped out as soon as it is loaded.
        let from = |since: Instant| state.last_load_ended.map_or(since, |at| at.max(since));
        OvertakingBounds {
            used_up: f64::from(queue.times_overtaken) >= f64::from(facts.overtake_count) * factor,
            ends: queue
                .oldest_arrival()
                .and_then(|since| deadline_after(from(since), age)),
        }
    }
}
