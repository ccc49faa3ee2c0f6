//! Who is granted now, and what the others wait for.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::{EngineKind, Fit};

use super::{
    fit::{Mark, limit},
    queue::retry_after,
    state::{Active, EngineState, Operation, Resident, Scheduler, Waiter},
    types::{Action, Arrival, Grant},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    engine::{Tuple, tuple},
    refusal::Refusal,
};

/// How a waiter stands to what is resident.
pub(super) enum Standing {
    /// This resident has a permit for it.
    Free(usize),
    /// A resident fits, but its permits are out.
    Slot,
    /// A load or unload of this model is in flight, or its last instance is going.
    Moving,
    /// It must be loaded; room is there.
    Load,
    /// It must be loaded; something idle must go first.
    Swap,
    /// This resident must be loaded anew with more context.
    Resize(usize),
    /// It cannot be had.
    Never(Refusal),
}

// === impl Standing ===

impl Standing {
    /// One word for views.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Free(_) | Self::Slot | Self::Never(_) => "slot",
            Self::Moving | Self::Load => "load",
            Self::Swap | Self::Resize(_) => "swap",
        }
    }
}

// === impl EngineState ===

impl EngineState {
    /// Tokens that one request may have on a resident; `None`: not known, so enough.
    pub(super) fn room(&self, resident: &Resident) -> Option<u64> {
        tuple::request_context(self.facts.kind, &resident.info)
    }

    fn has_permit(&self, resident: &Resident, arrival: &Arrival) -> bool {
        let permits = match arrival.kind {
            ModelKind::Embedding => return self.embedding == 0,
            ModelKind::Generation => self.facts.permits,
        };
        let loaded_for = resident.tuple.and_then(|t| t.context);
        let each = loaded_for.unwrap_or(arrival.base).max(arrival.need);
        resident.active < tuple::permits_within(self.facts.kind, &resident.info, each, permits)
    }

    /// Whether Crucible may unload it at all.
    pub(super) fn ours(&self, resident: &Resident) -> bool {
        resident.tuple.is_some() || self.facts.evict_foreign
    }

    /// Generation models count; embedding models only need memory.
    pub(super) fn full(&self, kind: ModelKind) -> bool {
        let counted = |r: &&Resident| r.info.kind == ModelKind::Generation;
        let count = self.residents.iter().filter(counted).count();
        kind == ModelKind::Generation && count >= self.facts.max_loaded
    }

    /// May make room for another generation model, once it is idle.
    pub(super) fn evictable(&self, resident: &Resident) -> bool {
        resident.info.kind == ModelKind::Generation && !resident.pinned && self.ours(resident)
    }

    /// How this arrival stands.
    pub(super) fn stands(
        &self,
        arrival: &Arrival,
        operation: Option<&Operation>,
        mark: Mark,
        now: Instant,
    ) -> Standing {
        let own = |r: &&Resident| r.info.model == arrival.model;
        let fits = |r: &Resident| self.room(r).is_none_or(|has| has >= arrival.need);
        let mut fitting = false;
        for (at, resident) in self.residents.iter().enumerate() {
            if own(&resident) && !resident.vanished && fits(resident) {
                if leaving(operation, resident) {
                    continue;
                }
                fitting = true;
                if self.has_permit(resident, arrival) {
                    return Standing::Free(at);
                }
            }
        }
        if fitting {
            return Standing::Slot;
        }
        let moving = operation.is_some_and(|o| o.model == arrival.model);
        if moving || self.residents.iter().filter(own).any(|r| r.vanished) {
            return Standing::Moving;
        }
        let refuse = |limit| {
            Standing::Never(Refusal::ContextExceeded {
                model: Arc::clone(&arrival.model),
                needed: arrival.need,
                limit,
            })
        };
        if let Some(at) = self.residents.iter().position(|r| own(&r)) {
            let resident = &self.residents[at];
            let has = self.room(resident).unwrap_or(0);
            // What Ollama holds may be left from an earlier run of Crucible.
            let may = self.ours(resident) || self.facts.kind == EngineKind::Ollama;
            let grows = self.facts.load_control
                && may
                && arrival.need <= limit(arrival)
                && (arrival.fit == Fit::Grow || has < arrival.base)
                && mark.may_grow(now);
            return if grows {
                Standing::Resize(at)
            } else {
                refuse(has)
            };
        }
        if arrival.need > limit(arrival) {
            return refuse(limit(arrival));
        }
        if !self.full(arrival.kind) {
            return Standing::Load;
        }
        if self.residents.iter().any(|r| self.evictable(r)) {
            return Standing::Swap;
        }
        Standing::Never(self.blocked(arrival))
    }

    fn blocked(&self, arrival: &Arrival) -> Refusal {
        let foreign = |r: &&Resident| r.info.kind == ModelKind::Generation && !self.ours(r);
        let (engine, model) = (Arc::clone(&arrival.engine), Arc::clone(&arrival.model));
        match self.residents.iter().find(foreign) {
            Some(blocker) => Refusal::Blocked {
                engine,
                model,
                blocker: Arc::clone(&blocker.info.model),
                retry_after: 30,
            },
            None => Refusal::LoadFailed {
                engine,
                model,
                message: format!(
                    "only {} models may be loaded at once, and those that are loaded are pinned",
                    self.facts.max_loaded
                ),
                retry_after: 60,
            },
        }
    }

    /// An engine without load control serves what it is asked for.
    fn assume(&mut self, arrival: &Arrival, now: Instant) {
        let known = |r: &Resident| r.info.model == arrival.model;
        if self.facts.load_control || self.residents.iter().any(known) {
            return;
        }
        let info = ResidentInfo {
            model: Arc::clone(&arrival.model),
            instance: Arc::clone(&arrival.model),
            kind: arrival.kind,
            context: None,
            parallel: None,
            bytes: None,
            vram_bytes: None,
            expires_at: None,
            batch_size: None,
            flash_attention: None,
        };
        let mut resident = Resident::new(info, now);
        resident.assumed = true;
        self.residents.push(resident);
    }

    /// Options to repeat on a request: those of the load. What a person loaded is left as it is.
    fn request_tuple(&self, resident: &Resident, arrival: &Arrival) -> Tuple {
        match resident.tuple {
            Some(tuple) => tuple,
            None if resident.assumed || self.facts.kind != EngineKind::Ollama => arrival.tuple,
            None => Tuple {
                context: resident.info.context,
                ..Tuple::default()
            },
        }
    }

    fn overtaking_ends(&self, swap: &Waiter, now: Instant) -> bool {
        swap.overtaken >= self.facts.overtake_count
            || now.saturating_duration_since(swap.since) >= self.facts.overtake_age
    }
}

/// An instance that is being unloaded takes nobody.
fn leaving(operation: Option<&Operation>, resident: &Resident) -> bool {
    operation.is_some_and(|o| o.unloads(&resident.info.instance))
}

// === impl Scheduler ===

impl Scheduler {
    pub(super) fn dispatch(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.draining.is_some() {
            return self.unload_all(now, actions);
        }
        self.expire(now, actions);
        let waiting = |(name, state): (&Arc<str>, &EngineState)| {
            (!state.queue.is_empty()).then(|| Arc::clone(name))
        };
        let names: Vec<Arc<str>> = self.engines.iter().filter_map(waiting).collect();
        for name in &names {
            self.grant(name, now, actions);
        }
        if !names.is_empty() {
            self.start_operations(now, actions);
        }
    }

    /// Grants what can be granted on one engine, in order of arrival; refuses what never can.
    pub(super) fn grant(&mut self, engine: &Arc<str>, now: Instant, actions: &mut Vec<Action>) {
        let operation = self.operations.values().find(|o| o.engine == *engine);
        let Some(state) = self.engines.get_mut(engine) else {
            return;
        };
        // The oldest generation that waits for something busy to become idle.
        let mut swap: Option<(usize, Option<usize>)> = None;
        let mut held: Vec<Arc<str>> = Vec::new();
        let mut at = 0;
        while let Some(waiter) = state.queue.get(at) {
            let arrival = waiter.arrival.clone();
            if held.contains(&arrival.model) {
                at += 1;
                continue;
            }
            state.assume(&arrival, now);
            let place = (Arc::clone(engine), Arc::clone(&arrival.model));
            let mark = self.marks.get(&place).copied().unwrap_or_default();
            match state.stands(&arrival, operation, mark, now) {
                Standing::Free(resident) => {
                    if let Some((older, room)) = swap
                        && room.is_none_or(|r| r == resident)
                        && (room.is_some() || state.evictable(&state.residents[resident]))
                    {
                        if state.overtaking_ends(&state.queue[older], now) {
                            held.push(place.1);
                            at += 1;
                            continue;
                        }
                        state.queue[older].overtaken += 1;
                    }
                    let waiter = state.queue.remove(at);
                    actions.push(state.give(waiter, resident, &mut self.active, now));
                    continue;
                }
                Standing::Never(refusal) => {
                    state.queue.remove(at);
                    actions.push(Action::Reject(arrival.ticket, refusal));
                    continue;
                }
                Standing::Load | Standing::Swap | Standing::Resize(_)
                    if let Some(failure) = self.failures.get(&place).filter(|f| now < f.until) =>
                {
                    state.queue.remove(at);
                    let refusal = Refusal::LoadFailed {
                        engine: place.0,
                        model: place.1,
                        message: failure.message.clone(),
                        retry_after: retry_after(failure.until - now),
                    };
                    actions.push(Action::Reject(arrival.ticket, refusal));
                    continue;
                }
                Standing::Swap => swap = swap.or(Some((at, None))),
                Standing::Resize(resident) => swap = swap.or(Some((at, Some(resident)))),
                Standing::Slot | Standing::Moving | Standing::Load => {}
            }
            // Requests for one model stay in order.
            held.push(place.1);
            at += 1;
        }
    }
}

impl EngineState {
    fn give(
        &mut self,
        waiter: Waiter,
        at: usize,
        active: &mut std::collections::HashMap<u64, Active>,
        now: Instant,
    ) -> Action {
        let arrival = waiter.arrival;
        let resident = &mut self.residents[at];
        resident.active += 1;
        if arrival.kind == ModelKind::Embedding {
            self.embedding += 1;
        }
        let resident = &self.residents[at];
        let grant = Grant {
            ticket: arrival.ticket,
            info: resident.info.clone(),
            tuple: self.request_tuple(resident, &arrival),
            loaded: waiter.loaded,
        };
        let permit = Active {
            engine: arrival.engine,
            instance: Arc::clone(&resident.info.instance),
            kind: arrival.kind,
            since: now,
        };
        active.insert(arrival.ticket, permit);
        Action::Grant(grant)
    }
}
