//! The match of a request with the residents of its engine: whether it can be served, and what it
//! waits for.

use std::{sync::Arc, time::Instant};

use super::{
    engine_state::EngineState,
    limit_scope::LimitScope,
    memory_fit::MemoryFit,
    model_queue::ModelQueue,
    pool_operation::{OperationKind, PoolOperation},
    resident::Resident,
    state::Scheduler,
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    options::{self, LoadTuple},
    refusal::Refusal,
    scheduler::messages::PermitRequest,
};

/// The match of the next request of a queue with what is loaded.
pub(super) enum ResidentMatch {
    /// The resident at this position has a free permit for it.
    PermitFree(usize),
    /// A resident fits, but all its permits are out.
    PermitsBusy,
    /// A load or unload of its model is in flight, or the last instance of it is going.
    InTransition,
    /// The model must be loaded, and there is room.
    NeedsLoad,
    /// The model must be loaded, and something of this scope must be unloaded first.
    NeedsEviction(LimitScope),
    /// The resident at this position must be loaded anew with more context.
    NeedsGrowth(usize),
    /// The resident at this position must be loaded anew with the options of another of its names.
    NeedsOtherOptions(usize),
    /// The request can never be served as things are, and is refused.
    Unavailable(Refusal),
}

// === impl ResidentMatch ===

impl ResidentMatch {
    /// Whether something has to be unloaded before the model can be loaded.
    pub(super) const fn needs_unload(&self) -> bool {
        matches!(
            self,
            Self::NeedsEviction(_) | Self::NeedsGrowth(_) | Self::NeedsOtherOptions(_)
        )
    }

    /// Returns the word for the match in views: `slot`, `load` or `swap`.
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
    /// Returns the tokens of context that one request may have on a resident; `None` where that is
    /// not known, which counts as enough.
    pub(super) fn context_per_request(&self, resident: &Resident) -> Option<u64> {
        options::request_context(self.facts.kind, &resident.info)
    }

    /// Whether the resident has a free permit for the request. A request that needs more than its
    /// share of the context takes the shares, and so the permits, of others with it.
    pub(super) fn has_free_permit(&self, resident: &Resident, request: &PermitRequest) -> bool {
        let permits = match request.kind {
            ModelKind::Embedding => return self.embedding_permits_out == 0,
            ModelKind::Generation => self.facts.permits_per_resident,
        };
        let loaded_for = resident.tuple.and_then(|t| t.context);
        let each = loaded_for
            .unwrap_or(request.base_context)
            .max(request.needed_context());
        resident.permits_out
            < options::permits_within(self.facts.kind, &resident.info, each, permits)
    }

    /// Whether one request may have `need` tokens of context on the resident.
    fn has_context_for(&self, resident: &Resident, need: u64) -> bool {
        self.context_per_request(resident)
            .is_none_or(|has| has >= need)
    }

    /// Whether the resident has the context, the options and a free permit for the request.
    pub(super) fn can_serve(&self, resident: &Resident, request: &PermitRequest) -> bool {
        self.has_context_for(resident, request.needed_context())
            && self.has_options_of(resident, &request.name)
            && self.has_free_permit(resident, request)
    }

    /// The match with a resident that has the context and the options that a request needs: with a
    /// free permit of it, or without one; `None` where no resident has both. An instance that is being
    /// unloaded takes nobody.
    fn match_suitable(
        &self,
        operation: Option<&PoolOperation>,
        request: &PermitRequest,
    ) -> Option<ResidentMatch> {
        let mut busy = None;
        for (at, resident) in self.residents.iter().enumerate() {
            let leaves = || operation.is_some_and(|o| o.is_unload_of(&resident.info.instance));
            if resident.info.model != request.model
                || resident.unlisted
                || !self.has_context_for(resident, request.needed_context())
                || !self.has_options_of(resident, &request.name)
                || leaves()
            {
                continue;
            }
            if self.has_free_permit(resident, request) {
                return Some(ResidentMatch::PermitFree(at));
            }
            busy = Some(ResidentMatch::PermitsBusy);
        }
        busy
    }

    /// Whether Crucible may unload the resident at all: Crucible loaded it, or may evict what
    /// others loaded.
    pub(super) fn may_unload(&self, resident: &Resident) -> bool {
        resident.tuple.is_some() || self.facts.evict_foreign && self.facts.owns_state
    }

    /// Whether the resident was loaded for a request that still waits and can be served by it.
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

    /// Whether the resident may be unloaded to make room, once it is idle.
    pub(super) fn is_evictable(&self, resident: &Resident) -> bool {
        self.facts.load_control
            && !resident.pinned
            && !resident.assumed
            && self.may_unload(resident)
            && !self.awaits_first_grant(resident)
    }

    /// Whether no further model of that kind may be loaded. Only generation models count; embedding
    /// models need memory alone.
    fn at_model_limit(&self, kind: ModelKind) -> bool {
        let counted = |r: &&Resident| r.info.kind == ModelKind::Generation;
        let count = self.residents.iter().filter(counted).count();
        kind == ModelKind::Generation && count >= self.facts.max_loaded_models
    }

    /// Returns the refusal of a request where the limit of loaded models is reached and none of
    /// them may be unloaded.
    fn model_limit_refusal(&self, request: &PermitRequest) -> Refusal {
        let foreign = |r: &&Resident| r.info.kind == ModelKind::Generation && !self.may_unload(r);
        let (engine, model) = (Arc::clone(&request.engine), Arc::clone(&request.name));
        match self.residents.iter().find(foreign) {
            Some(blocker) => Refusal::Blocked {
                engine,
                model,
                blocker: Arc::clone(blocker.info.name(self.facts.kind)),
                blocker_engine: Arc::clone(&self.facts.name),
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

    /// Adds a resident that is assumed to serve the model, on an engine whose loads Crucible does
    /// not control.
    pub(super) fn assume_resident(&mut self, model: &Arc<str>, kind: ModelKind, now: Instant) {
        let known = |r: &Resident| r.info.model == *model;
        if self.facts.load_control || self.residents.iter().any(known) {
            return;
        }
        let mut resident = Resident::new(ResidentInfo::named(Arc::clone(model), kind), now);
        resident.assumed = true;
        self.residents.push(resident);
    }

    /// Returns the options to repeat on a request: those that the resident was loaded with. A
    /// resident that others loaded is left as it is.
    pub(super) fn options_for_request(
        &self,
        resident: &Resident,
        request: &PermitRequest,
    ) -> LoadTuple {
        match resident.tuple {
            Some(tuple) => tuple,
            None if resident.assumed || !self.facts.kind.profile().options_on_requests => {
                request.tuple
            }
            None => LoadTuple {
                context: resident.info.context,
                as_loaded: true,
                ..self.described_options(&resident.info.instance)
            },
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Matches a request with the residents of its engine. `queue` is the queue in which it waits,
    /// or would wait.
    pub(super) fn match_resident(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> ResidentMatch {
        if let Some(at) = self.restorable_resident(state, queue, request, now) {
            return ResidentMatch::NeedsGrowth(at);
        }
        let operation = self.engine_operation(&state.facts.name);
        if let Some(matched) = state.match_suitable(operation, request) {
            return matched;
        }
        let own = |r: &Resident| r.info.model == request.model;
        let moves = |o: &PoolOperation| {
            let loads = matches!(o.kind, OperationKind::Load(_));
            o.model == request.model && (loads || state.residents.iter().any(own))
        };
        let goes = state.residents.iter().any(|r| own(r) && r.unlisted);
        if operation.is_some_and(moves) || goes {
            return ResidentMatch::InTransition;
        }
        let mut residents = state.residents.iter().enumerate();
        if let Some((at, resident)) = residents.find(|(_, r)| own(r)) {
            if !state.has_options_of(resident, &request.name) {
                return state.match_other_options(at, request);
            }
            return self.match_growth(state, queue, request, now);
        }
        self.match_first_load(state, queue, request, now)
    }

    /// Matches a request whose model is not loaded at all.
    fn match_first_load(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> ResidentMatch {
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
        match self.memory_fit(state, request.kind, planned.bytes, None, now) {
            MemoryFit::Fits | MemoryFit::FitsAlone => ResidentMatch::NeedsLoad,
            MemoryFit::AfterEviction(scope) | MemoryFit::AfterDrain(scope) => {
                ResidentMatch::NeedsEviction(scope)
            }
            MemoryFit::Blocked(blocker) => {
                ResidentMatch::Unavailable(self.blocked_refusal(state, queue, request, blocker))
            }
        }
    }
}
