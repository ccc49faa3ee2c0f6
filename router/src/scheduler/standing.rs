//! What a line waits for.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::EngineKind;

use super::{
    line::Line,
    room::Room,
    state::{EngineState, Operation, Resident, Scheduler, Work},
    types::Arrival,
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    engine::{Tuple, tuple},
    refusal::Refusal,
};

/// How the next of a line stands to what is resident.
pub(super) enum Standing {
    /// This resident has a permit for it.
    Free(usize),
    /// A resident fits, but its permits are out.
    Slot,
    /// A load or unload of this model is in flight, or its last instance is going.
    Moving,
    /// It must be loaded; room is there.
    Load,
    /// It must be loaded; something of this scope must go first.
    Swap(Scope),
    /// This resident must be loaded anew with more context.
    Resize(usize),
    /// This resident must be loaded anew with the options of another of its names.
    Rename(usize),
    /// It cannot be had.
    Never(Refusal),
}

/// Where something must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A generation model of its engine.
    Engine,
    /// Any model of its pool.
    Pool,
    /// Any model of the pools that share their parent.
    Parent,
}

// === impl Standing ===

impl Standing {
    /// One word for views.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Free(_) | Self::Slot | Self::Never(_) => "slot",
            Self::Moving | Self::Load => "load",
            Self::Swap(_) | Self::Resize(_) | Self::Rename(_) => "swap",
        }
    }
}

// === impl EngineState ===

impl EngineState {
    /// Tokens that one request may have on a resident; `None`: not known, so enough.
    pub(super) fn room(&self, resident: &Resident) -> Option<u64> {
        tuple::request_context(self.facts.kind, &resident.info)
    }

    pub(super) fn has_permit(&self, resident: &Resident, arrival: &Arrival) -> bool {
        let permits = match arrival.kind {
            ModelKind::Embedding => return self.embedding == 0,
            ModelKind::Generation => self.facts.permits,
        };
        let loaded_for = resident.tuple.and_then(|t| t.context);
        let each = loaded_for.unwrap_or(arrival.base).max(arrival.need());
        resident.active < tuple::permits_within(self.facts.kind, &resident.info, each, permits)
    }

    /// It has context enough for so many tokens.
    fn fits(&self, resident: &Resident, need: u64) -> bool {
        self.room(resident).is_none_or(|has| has >= need)
    }

    /// It has context enough and a permit for that request.
    pub(super) fn serves(&self, resident: &Resident, arrival: &Arrival) -> bool {
        self.fits(resident, arrival.need())
            && self.answers_to(resident, &arrival.name)
            && self.has_permit(resident, arrival)
    }

    /// Whether Crucible may unload it at all.
    pub(super) fn ours(&self, resident: &Resident) -> bool {
        resident.tuple.is_some() || self.facts.evict_foreign && self.facts.owner
    }

    /// Loaded for somebody who still waits for it and is served by it.
    pub(super) fn is_fresh(&self, resident: &Resident) -> bool {
        let served = |l: &Line| {
            let next = l.next().map(|w| &w.arrival);
            let served = |a: &Arc<Arrival>| {
                self.fits(resident, a.need()) && self.answers_to(resident, &a.name)
            };
            l.model == resident.info.model && next.is_some_and(served)
        };
        resident.fresh && self.lines.iter().any(served)
    }

    /// May be unloaded to make room, once it is idle.
    pub(super) fn evictable(&self, resident: &Resident) -> bool {
        self.facts.load_control
            && !resident.pinned
            && !resident.assumed
            && self.ours(resident)
            && !self.is_fresh(resident)
    }

    /// Generation models count; embedding models only need memory.
    fn full(&self, kind: ModelKind) -> bool {
        let counted = |r: &&Resident| r.info.kind == ModelKind::Generation;
        let count = self.residents.iter().filter(counted).count();
        kind == ModelKind::Generation && count >= self.facts.max_loaded
    }

    /// No count limit lets another model in, and what counts may not go.
    fn blocked(&self, arrival: &Arrival) -> Refusal {
        let foreign = |r: &&Resident| r.info.kind == ModelKind::Generation && !self.ours(r);
        let (engine, model) = (Arc::clone(&arrival.engine), Arc::clone(&arrival.name));
        match self.residents.iter().find(foreign) {
            Some(blocker) => Refusal::Blocked {
                engine,
                model,
                blocker: Arc::clone(blocker.info.name(self.facts.kind)),
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
    pub(super) fn assume(&mut self, model: &Arc<str>, kind: ModelKind, now: Instant) {
        let known = |r: &Resident| r.info.model == *model;
        if self.facts.load_control || self.residents.iter().any(known) {
            return;
        }
        let mut resident = Resident::new(ResidentInfo::named(Arc::clone(model), kind), now);
        resident.assumed = true;
        self.residents.push(resident);
    }

    /// Options to repeat on a request: those of the load. What a person loaded is left as it is.
    pub(super) fn request_tuple(&self, resident: &Resident, arrival: &Arrival) -> Tuple {
        match resident.tuple {
            Some(tuple) => tuple,
            None if resident.assumed || self.facts.kind != EngineKind::Ollama => arrival.tuple,
            None => Tuple {
                context: resident.info.context,
                as_loaded: true,
                ..self.described(&resident.info.instance)
            },
        }
    }
}

/// An instance that is being unloaded takes nobody.
fn leaving(operation: Option<&Operation>, resident: &Resident) -> bool {
    operation.is_some_and(|o| o.unloads(&resident.info.instance))
}

// === impl Scheduler ===

impl Scheduler {
    /// How this arrival, the next of that line, stands.
    pub(super) fn stands(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        now: Instant,
    ) -> Standing {
        let operation = self.operation_of(&state.facts.name);
        let own = |r: &&Resident| r.info.model == arrival.model;
        if let Some(at) = self.restores(state, line, arrival, now) {
            return Standing::Resize(at);
        }
        let mut fitting = false;
        for (at, resident) in state.residents.iter().enumerate() {
            if own(&resident)
                && !resident.vanished
                && state.fits(resident, arrival.need())
                && state.answers_to(resident, &arrival.name)
            {
                if leaving(operation, resident) {
                    continue;
                }
                fitting = true;
                if state.has_permit(resident, arrival) {
                    return Standing::Free(at);
                }
            }
        }
        if fitting {
            return Standing::Slot;
        }
        let loading = |o: &Operation| {
            o.model == arrival.model
                && (matches!(o.work, Work::Load(_)) || state.residents.iter().any(|r| own(&r)))
        };
        if operation.is_some_and(loading) || state.residents.iter().filter(own).any(|r| r.vanished)
        {
            return Standing::Moving;
        }
        let mut own_residents = state.residents.iter().enumerate();
        if let Some((at, resident)) = own_residents.find(|(_, r)| own(r)) {
            if !state.answers_to(resident, &arrival.name) {
                return state.renames(at, arrival);
            }
            return self.grows(state, line, arrival, now);
        }
        let planned = match self.planned(state, line, arrival, now) {
            Ok(planned) => planned,
            Err(refusal) => return Standing::Never(refusal),
        };
        if state.full(arrival.kind) {
            let goes = |r: &Resident| {
                r.info.kind == ModelKind::Generation && (state.evictable(r) || state.is_fresh(r))
            };
            return if state.residents.iter().any(goes) {
                Standing::Swap(Scope::Engine)
            } else {
                Standing::Never(state.blocked(arrival))
            };
        }
        match self.room(state, planned.bytes, None, now) {
            Room::Fits | Room::Alone => Standing::Load,
            Room::Evict(scope) | Room::Wait(scope) => Standing::Swap(scope),
            Room::Blocked(why) => Standing::Never(self.beside(state, line, arrival, why)),
        }
    }
}
