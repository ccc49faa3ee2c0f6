//! The context that a request would get, as a question that changes nothing.

use std::{sync::Arc, time::Instant};

use super::{
    engine_state::EngineState, model_queue::ModelQueue, resident::Resident,
    resident_match::ResidentMatch, state::Scheduler,
};
use crate::{refusal::Refusal, scheduler::messages::PermitRequest};

/// The reason why a request would get the context that it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextReason {
    /// The context is configured.
    Configured,
    /// The model is loaded with it.
    Loaded,
    /// The model had it before, and nothing else was configured since.
    Remembered,
    /// The request needs it, so that the model would be loaded with it.
    Needed,
    /// Memory or the engine allow no more.
    Limited,
    /// The request would be refused for its length.
    Refused,
}

// === impl ContextReason ===

impl ContextReason {
    /// The word for it in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Loaded => "loaded",
            Self::Remembered => "remembered",
            Self::Needed => "needed",
            Self::Limited => "limited",
            Self::Refused => "refused",
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The tokens of context that a request would get now, and the reason. Changes nothing.
    pub(crate) fn preview_context(
        &self,
        request: &Arc<PermitRequest>,
        now: Instant,
    ) -> (u64, ContextReason) {
        let Some(state) = self.engine(&request.engine) else {
            return (request.base_context, ContextReason::Configured);
        };
        let variant = state.option_variant(&request.name);
        let alone;
        let found = state.queue_index(&request.model, variant, request.kind);
        let queue = if let Some(at) = found {
            &state.queues[at]
        } else {
            let size = self.model_size(&state.facts, &request.model);
            alone = ModelQueue::of_one(Arc::clone(request), 0, size, now);
            &alone
        };
        let loaded = self.preview_loaded(state, queue, request, now);
        loaded.unwrap_or_else(|| self.preview_load(state, queue, request, now))
    }

    /// The context that the loaded instances give; `None` where the model would be loaded for it.
    fn preview_loaded(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> Option<(u64, ContextReason)> {
        if let Some(has) = state.context_for(request, request.needed_context()) {
            return Some((has, ContextReason::Loaded));
        }
        state.instances_of(request).next()?;
        match self.match_growth(state, queue, request, now) {
            ResidentMatch::PermitFree(_) | ResidentMatch::PermitsBusy => {
                let has = state.context_for(request, request.minimum_context());
                Some((has.unwrap_or(request.base_context), ContextReason::Limited))
            }
            ResidentMatch::Unavailable(refusal) => Some(refused_context(&refusal, request)),
            _ => None,
        }
    }

    /// The context that the model would be loaded with.
    fn preview_load(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> (u64, ContextReason) {
        let needed = match self.planned_load(state, queue, request, now) {
            Ok(planned) => planned,
            Err(refusal) => return refused_context(&refusal, request),
        };
        let planned = match state.instances_of(request).next() {
            None => self.with_spare_context(state, queue, request, needed, now),
            Some(_) => needed,
        };
        let history = self.context_histories.get(&state.model_key(&request.model));
        let remembered = history.map_or(0, |h| h.remembered_context(request.configured_context));
        let reason = match planned.context {
            c if c < request.needed_context() => ContextReason::Limited,
            c if c > needed.context => ContextReason::Remembered,
            c if c == request.base_context => ContextReason::Configured,
            c if c == remembered.min(request.context_limit()) => ContextReason::Remembered,
            _ => ContextReason::Needed,
        };
        (planned.context, reason)
    }
}

// === impl EngineState ===

impl EngineState {
    /// The instances of a request's model that the engine lists.
    fn instances_of(&self, request: &PermitRequest) -> impl Iterator<Item = &Resident> {
        let residents = self.residents.iter();
        residents.filter(|r| r.info.model == request.model && !r.unlisted)
    }

    /// The tokens that a request would have on the first instance with at least `least` of them.
    fn context_for(&self, request: &PermitRequest, least: u64) -> Option<u64> {
        let enough = |r: &&Resident| self.context_per_request(r).is_none_or(|has| has >= least);
        let found = self.instances_of(request).find(enough)?;
        Some(self.context_share(found, request))
    }

    /// Tokens per request of a resident: those that Crucible loaded it for, unless this request
    /// needs more of what its slots share.
    fn context_share(&self, resident: &Resident, request: &PermitRequest) -> u64 {
        let has = self
            .context_per_request(resident)
            .unwrap_or(request.base_context);
        let loaded_for = resident.tuple.and_then(|t| t.context);
        loaded_for
            .unwrap_or(has)
            .max(request.needed_context())
            .min(has)
    }
}

/// The limit in tokens that a refusal names.
fn refused_context(refusal: &Refusal, request: &PermitRequest) -> (u64, ContextReason) {
    match refusal {
        Refusal::ContextExceeded { limit, .. } => (*limit, ContextReason::Refused),
        _ => (request.base_context, ContextReason::Refused),
    }
}
