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
    /// Returns the word for the reason in `crucible explain`.
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
    /// Returns the tokens of context that a request would get now, and the reason; `None` where the
    /// engine does not report its contexts. The request is matched like one that arrives, and
    /// nothing changes.
    pub(crate) fn preview_context(
        &self,
        request: &Arc<PermitRequest>,
        now: Instant,
    ) -> Option<(u64, ContextReason)> {
        let preview = self.try_context(request, now)?;
        Some(preview.unwrap_or_else(|refusal| refused_context(&refusal, request)))
    }

    /// Does the same as [`Self::preview_context`], and returns the refusal of a request that would
    /// get no context.
    pub(crate) fn try_context(
        &self,
        request: &Arc<PermitRequest>,
        now: Instant,
    ) -> Option<Result<(u64, ContextReason), Refusal>> {
        let Some(state) = self.engine(&request.engine) else {
            return Some(Ok((request.base_context, ContextReason::Configured)));
        };
        let listed = state.instances_of(request).next().is_some();
        if !state.facts.load_control && !listed {
            // It is assumed to be there, with a context that nobody reports.
            return None;
        }
        let variant = state.option_variant(&request.name);
        let alone;
        let found = state.queue_index(&request.model, variant, request.kind);
        let queue = if let Some(at) = found {
            &state.queues[at]
        } else {
            let size = self.model_size(&state.facts, &request.model);
            alone = ModelQueue::of_one(Arc::clone(request), variant, size, now);
            &alone
        };
        match self.match_resident(state, queue, request, now) {
            ResidentMatch::PermitFree(at) => {
                Some(Ok(state.loaded_context(&state.residents[at], request)?))
            }
            ResidentMatch::PermitsBusy => {
                let busy = state.busy_instance(request)?;
                Some(Ok(state.loaded_context(busy, request)?))
            }
            ResidentMatch::Unavailable(refusal) if listed => Some(Err(refusal)),
            _ => Some(self.preview_load(state, queue, request, now)),
        }
    }

    /// Returns the context that the model would be loaded with for the request, and the reason; or
    /// the refusal.
    fn preview_load(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> Result<(u64, ContextReason), Refusal> {
        let needed = self.planned_load(state, queue, request, now)?;
        let planned = self.with_spare_context(state, queue, request, needed, now);
        let history = self.context_histories.get(&state.model_key(&request.model));
        let remembered = history.map_or(0, |h| h.remembered_context(request.configured_context));
        let reason = match planned.context {
            c if c < request.needed_context() => ContextReason::Limited,
            c if c > needed.context && request.expected_context > needed.context => {
                ContextReason::Remembered
            }
            c if c == request.base_context => ContextReason::Configured,
            c if c == remembered.min(request.context_limit()) => ContextReason::Remembered,
            _ => ContextReason::Needed,
        };
        Ok((planned.context, reason))
    }
}

// === impl EngineState ===

impl EngineState {
    /// Returns the instances of the request's model that the engine lists.
    fn instances_of(&self, request: &PermitRequest) -> impl Iterator<Item = &Resident> {
        let residents = self.residents.iter();
        residents.filter(|r| r.info.model == request.model && !r.unlisted)
    }

    /// Returns the instance whose permits the request waits for: the first with the context that it
    /// needs, else the one with the most.
    fn busy_instance(&self, request: &PermitRequest) -> Option<&Resident> {
        let fits = |r: &&Resident| self.has_options_of(r, &request.name);
        let context = |r: &&Resident| self.context_per_request(r).unwrap_or(u64::MAX);
        let enough = |r: &&Resident| context(r) >= request.needed_context();
        let first = self.instances_of(request).filter(fits).find(enough);
        first.or_else(|| self.instances_of(request).filter(fits).max_by_key(context))
    }

    /// Returns the context that the request has on this instance, and the reason; `None` where the
    /// engine does not report it.
    fn loaded_context(
        &self,
        resident: &Resident,
        request: &PermitRequest,
    ) -> Option<(u64, ContextReason)> {
        let share = self.context_share(resident, request)?;
        let reason = if share < request.needed_context() {
            ContextReason::Limited
        } else {
            ContextReason::Loaded
        };
        Some((share, reason))
    }

    /// Returns the tokens per request of a resident: those that Crucible loaded it for, unless this
    /// request needs more of what its slots share. `None` where the engine does not report its
    /// context.
    pub(super) fn context_share(
        &self,
        resident: &Resident,
        request: &PermitRequest,
    ) -> Option<u64> {
        let has = self.context_per_request(resident)?;
        let loaded_for = resident.tuple.and_then(|t| t.context);
        let share = loaded_for.unwrap_or(has).max(request.needed_context());
        Some(share.min(has))
    }
}

/// Returns the context in tokens that a refusal names as the limit, with its reason.
fn refused_context(refusal: &Refusal, request: &PermitRequest) -> (u64, ContextReason) {
    match refusal {
        Refusal::ContextExceeded { limit, .. } => (*limit, ContextReason::Refused),
        _ => (request.base_context, ContextReason::Refused),
    }
}
