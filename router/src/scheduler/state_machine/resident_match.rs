//! What a line waits for.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::EngineKind;

use super::{
    memory_fit::MemoryFit,
    model_queue::ModelQueue,
    state::{EngineState, OperationKind, PoolOperation, Resident, Scheduler},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    engine::{Tuple, tuple},
    refusal::Refusal,
    scheduler::messages::PermitRequest,
};

/// How the next of a line stands to what is resident.
pub(super) enum ResidentMatch {
    /// This resident has a permit for it.
    PermitFree(usize),
    /// A resident fits, but its permits are out.
    PermitsBusy,
    /// A load or unload of this model is in flight, or its last instance is going.
    InTransition,
    /// It must be loaded; room is there.
    NeedsLoad,
    /// It must be loaded; something of this scope must go first.
    NeedsEviction(LimitScope),
    /// This resident must be loaded anew with more context.
    NeedsGrowth(usize),
    /// This resident must be loaded anew with the options of another of its names.
    NeedsOtherOptions(usize),
    /// It cannot be had.
    Unavailable(Refusal),
}

/// Where something must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitScope {
    /// A generation model of its engine.
    EngineModels,
    /// Any model of its pool.
    PoolMemory,
    /// Any model of the pools that share their parent.
    SharedMemory,
}

// === impl Standing ===

impl ResidentMatch {
    /// One word for views.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::PermitFree(_) | Self::PermitsBusy | Self::Unavailable(_) => "slot",
            Self::InTransition | Self::NeedsLoad => "load",
            Self::NeedsEviction(_) | Self::NeedsGrowth(_) | Self::NeedsOtherOptions(_) => "swap",
        }
    }
}

// === impl EngineState ===

impl EngineState {
    /// Tokens that one request may have on a resident; `None`: not known, so enough.
    pub(super) fn context_per_request(&self, resident: &Resident) -> Option<u64> {
        tuple::request_context(self.facts.kind, &resident.info)
    }

    pub(super) fn has_free_permit(&self, resident: &Resident, request: &PermitRequest) -> bool {
        let permits = match request.kind {
            ModelKind::Embedding => return self.embedding_permits_out == 0,
            ModelKind::Generation => self.facts.permits_per_resident,
        };
        let loaded_for = resident.tuple.and_then(|t| t.context);
        let each = loaded_for
            .unwrap_or(request.base_context)
            .max(request.needed_context());
        resident.permits_out < tuple::permits_within(self.facts.kind, &resident.info, each, permits)
    }

    /// It has context enough for so many tokens.
    fn has_context_for(&self, resident: &Resident, need: u64) -> bool {
        self.context_per_request(resident)
            .is_none_or(|has| has >= need)
    }

    /// It has context enough and a permit for that request.
    pub(super) fn can_serve(&self, resident: &Resident, request: &PermitRequest) -> bool {
        self.has_context_for(resident, request.needed_context())
            && self.has_options_of(resident, &request.name)
            && self.has_free_permit(resident, request)
    }

    /// Whether Crucible may unload it at all.
    pub(super) fn may_unload(&self, resident: &Resident) -> bool {
        resident.tuple.is_some() || self.facts.evict_foreign && self.facts.owns_state
    }

    /// Loaded for somebody who still waits for it and is served by it.
    pub(super) fn awaits_first_grant(&self, resident: &Resident) -> bool {
        let served = |l: &ModelQueue| {
            let next = l.next_waiter().map(|w| &w.request);
            let served = |a: &Arc<PermitRequest>| {
                self.has_context_for(resident, a.needed_context())
                    && self.has_options_of(resident, &a.name)
            };
            l.model == resident.info.model && next.is_some_and(served)
        };
        resident.never_granted && self.queues.iter().any(served)
    }

    /// May be unloaded to make room, once it is idle.
    pub(super) fn is_evictable(&self, resident: &Resident) -> bool {
        self.facts.load_control
            && !resident.pinned
            && !resident.assumed
            && self.may_unload(resident)
            && !self.awaits_first_grant(resident)
    }

    /// Generation models count; embedding models only need memory.
    fn at_model_limit(&self, kind: ModelKind) -> bool {
        let counted = |r: &&Resident| r.info.kind == ModelKind::Generation;
        let count = self.residents.iter().filter(counted).count();
        kind == ModelKind::Generation && count >= self.facts.max_loaded_models
    }

    /// No count limit lets another model in, and what counts may not go.
    fn model_limit_refusal(&self, request: &PermitRequest) -> Refusal {
        let foreign = |r: &&Resident| r.info.kind == ModelKind::Generation && !self.may_unload(r);
        let (engine, model) = (Arc::clone(&request.engine), Arc::clone(&request.name));
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
                    self.facts.max_loaded_models
                ),
                retry_after: 60,
            },
        }
    }

    /// An engine without load control serves what it is asked for.
    pub(super) fn assume_resident(&mut self, model: &Arc<str>, kind: ModelKind, now: Instant) {
        let known = |r: &Resident| r.info.model == *model;
        if self.facts.load_control || self.residents.iter().any(known) {
            return;
        }
        let mut resident = Resident::new(ResidentInfo::named(Arc::clone(model), kind), now);
        resident.assumed = true;
        self.residents.push(resident);
    }

    /// Options to repeat on a request: those of the load. What a person loaded is left as it is.
    pub(super) fn options_for_request(
        &self,
        resident: &Resident,
        request: &PermitRequest,
    ) -> Tuple {
        match resident.tuple {
            Some(tuple) => tuple,
            None if resident.assumed || self.facts.kind != EngineKind::Ollama => request.tuple,
            None => Tuple {
                context: resident.info.context,
                as_loaded: true,
                ..self.described_options(&resident.info.instance)
            },
        }
    }
}

/// An instance that is being unloaded takes nobody.
fn is_being_unloaded(operation: Option<&PoolOperation>, resident: &Resident) -> bool {
    operation.is_some_and(|o| o.is_unload_of(&resident.info.instance))
}

// === impl Scheduler ===

impl Scheduler {
    /// How this arrival, the next of that line, stands.
    pub(super) fn match_resident(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> ResidentMatch {
        let operation = self.engine_operation(&state.facts.name);
        let own = |r: &&Resident| r.info.model == request.model;
        if let Some(at) = self.restorable_resident(state, queue, request, now) {
            return ResidentMatch::NeedsGrowth(at);
        }
        let mut fitting = false;
        for (at, resident) in state.residents.iter().enumerate() {
            if own(&resident)
                && !resident.unlisted
                && state.has_context_for(resident, request.needed_context())
                && state.has_options_of(resident, &request.name)
            {
                if is_being_unloaded(operation, resident) {
                    continue;
                }
                fitting = true;
                if state.has_free_permit(resident, request) {
                    return ResidentMatch::PermitFree(at);
                }
            }
        }
        if fitting {
            return ResidentMatch::PermitsBusy;
        }
        let loading = |o: &PoolOperation| {
            o.model == request.model
                && (matches!(o.kind, OperationKind::Load(_))
                    || state.residents.iter().any(|r| own(&r)))
        };
        if operation.is_some_and(loading) || state.residents.iter().filter(own).any(|r| r.unlisted)
        {
            return ResidentMatch::InTransition;
        }
        let mut own_residents = state.residents.iter().enumerate();
        if let Some((at, resident)) = own_residents.find(|(_, r)| own(r)) {
            if !state.has_options_of(resident, &request.name) {
                return state.match_other_options(at, request);
            }
            return self.match_growth(state, queue, request, now);
        }
        let planned = match self.planned_load(state, queue, request, now) {
            Ok(planned) => planned,
            Err(refusal) => return ResidentMatch::Unavailable(refusal),
        };
        if state.at_model_limit(request.kind) {
            let goes = |r: &Resident| {
                r.info.kind == ModelKind::Generation
                    && (state.is_evictable(r) || state.awaits_first_grant(r))
            };
            return if state.residents.iter().any(goes) {
                ResidentMatch::NeedsEviction(LimitScope::EngineModels)
            } else {
                ResidentMatch::Unavailable(state.model_limit_refusal(request))
            };
        }
        match self.memory_fit(state, planned.bytes, None, now) {
            MemoryFit::Fits | MemoryFit::FitsAlone => ResidentMatch::NeedsLoad,
            MemoryFit::AfterEviction(scope) | MemoryFit::AfterDrain(scope) => {
                ResidentMatch::NeedsEviction(scope)
            }
            MemoryFit::Blocked(why) => {
                ResidentMatch::Unavailable(self.blocked_refusal(state, queue, request, why))
            }
        }
    }
}
