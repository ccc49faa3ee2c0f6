//! The models that have to be loaded, and the order in which their turn comes.
//!
//! A candidate is the queue of a model whose next request can only be served by a load, or a pinned
//! model that its engine no longer holds. Candidates are ranked over all pools; the first that may
//! start does.

use std::{sync::Arc, time::Instant};

use super::{engine_state::EngineState, model_queue::ModelQueue, state::Scheduler};
use crate::{client::ClientId, event::LoadTrigger, scheduler::messages::PermitRequest};

/// The number of clients whose last load is remembered. One that is forgotten counts as never served.
const MOST_CLIENTS: usize = 1024;

/// The rank of a candidate, the smallest first: its class of urgency (0 to 3), the load turn of its
/// client, its ticket.
pub(super) type LoadPriority = (u8, u64, u64);

/// The urgency of the load for which room was just made by an unload.
pub(super) const RESERVED: u8 = 0;
/// The urgency of a pinned model that its engine no longer holds.
const MISSING_PIN: u8 = 1;
/// The urgency of a queue with interactive requests, or with one that has waited `overtake_age`.
const URGENT: u8 = 2;
/// The urgency of every other queue: background requests alone, and none of them old.
const BACKGROUND: u8 = 3;

/// The origin of a load's need.
pub(super) enum LoadRequester {
    /// The queue at this position of its engine.
    Queue(usize),
    /// A pinned model that its engine does not hold, with the request by which it is loaded again.
    Pin(Arc<PermitRequest>),
}

/// A model that has to be loaded.
pub(super) struct LoadCandidate {
    /// The rank among all candidates.
    pub(super) priority: LoadPriority,
    /// Position of its engine.
    pub(super) engine: usize,
    /// The queue or the pin that needs the load.
    pub(super) requester: LoadRequester,
}

// === impl Scheduler ===

impl Scheduler {
    /// All candidates, the first to be served at the start.
    pub(super) fn load_candidates(&mut self, now: Instant) -> Vec<LoadCandidate> {
        let engines = &self.engines;
        let pins = &self.pinned_requests;
        self.reservations.retain(|_, (key, _)| {
            let of = engines.iter().find(|e| e.facts.name == key.0);
            of.is_some_and(|e| e.has_waiters_for(&key.1)) || pins.contains_key(key)
        });
        let mut candidates: Vec<LoadCandidate> = self.missing_pinned_models(now).collect();
        for (engine, state) in self.engines.iter().enumerate() {
            let queues = state.queues.iter().enumerate();
            for (at, queue) in queues.filter(|(_, queue)| queue.needs_load) {
                let requester = LoadRequester::Queue(at);
                let priority = self.load_priority(state, queue, now);
                candidates.extend(priority.map(|priority| LoadCandidate {
                    priority,
                    engine,
                    requester,
                }));
            }
        }
        candidates.sort_by_key(|candidate| candidate.priority);
        candidates
    }

    /// The rank of a queue; `None` for an empty one.
    fn load_priority(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        now: Instant,
    ) -> Option<LoadPriority> {
        let request = &queue.next_waiter()?.request;
        let reserved = self.reservations.get(&state.facts.pool);
        let first = reserved.is_some_and(|((engine, model), variant)| {
            *engine == state.facts.name && *model == queue.model && *variant == queue.option_variant
        });
        let old = |since| now.saturating_duration_since(since) >= state.facts.overtake_age;
        let urgent = queue.has_interactive() || queue.oldest_arrival().is_some_and(old);
        let urgency = match (first, urgent) {
            (true, _) => RESERVED,
            (false, true) => URGENT,
            (false, false) => BACKGROUND,
        };
        let turn = self.client_load_turns.get(&request.client);
        Some((urgency, turn.copied().unwrap_or(0), request.ticket))
    }

    /// The pinned models that no engine holds, that nobody waits for, and that may be tried now.
    fn missing_pinned_models(&self, now: Instant) -> impl Iterator<Item = LoadCandidate> {
        self.pinned_requests.iter().filter_map(move |(key, pin)| {
            let engine = self.engine_index(&key.0)?;
            let state = &self.engines[engine];
            let facts = &state.facts;
            let held = state.residents.iter().any(|r| r.info.model == key.1);
            let backoff = self
                .load_backoffs
                .get(&state.backoff_key(&pin.model, &pin.name));
            let failing = backoff.is_some_and(|b| now < b.retry_at);
            let wanted = facts.load_control && facts.pinned_models.contains(&key.1);
            if !wanted || held || failing || state.has_waiters_for(&key.1) {
                return None;
            }
            Some(LoadCandidate {
                priority: (MISSING_PIN, 0, pin.ticket),
                engine,
                requester: LoadRequester::Pin(Arc::new(PermitRequest {
                    trigger: LoadTrigger::Pin,
                    ..PermitRequest::clone(pin)
                })),
            })
        })
    }

    /// Notes that a load starts for this client: every other client goes before it from now on.
    pub(super) fn take_load_turn(&mut self, client: ClientId) {
        let turns = &mut self.client_load_turns;
        let turn = turns.values().max().map_or(1, |last| last + 1);
        turns.insert(client, turn);
        if turns.len() > MOST_CLIENTS {
            // The client whose turn was longest ago goes before the others anyway.
            let oldest = turns.iter().min_by_key(|(_, turn)| **turn);
            if let Some(client) = oldest.map(|(client, _)| client.clone()) {
                turns.remove(&client);
            }
        }
    }
}
