//! Which context a request would get, as a question that changes nothing.

use std::{sync::Arc, time::Instant};

use super::{
    model_queue::ModelQueue,
    resident_match::ResidentMatch,
    state::{EngineState, Resident, Scheduler},
};
use crate::{refusal::Refusal, scheduler::messages::PermitRequest};

/// Why a request would get the context that it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextReason {
    /// It is configured.
    Configured,
    /// The model is loaded with it.
    Loaded,
    /// The model had it before, and nothing else was configured since.
    Remembered,
    /// The request needs it, so the model would be loaded with it.
    Needed,
    /// Memory or the engine allow no more.
    Limited,
    /// The request would be refused for its length.
    Refused,
}

// === impl Because ===

impl ContextReason {
    /// One word.
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
    /// The context that a request would get now, and why.
    pub(crate) fn preview_context(
        &self,
        request: &Arc<PermitRequest>,
        now: Instant,
    ) -> (u64, ContextReason) {
        let Some(state) = self.engine(&request.engine) else {
            return (request.base_context, ContextReason::Configured);
        };
        let alone;
        let queue = if let Some(at) = state.queue_index(
            &request.model,
            state.option_variant(&request.name),
            request.kind,
        ) {
            &state.queues[at]
        } else {
            let size = self.model_size(&state.facts, &request.model);
            let mut queue = ModelQueue::new(Arc::clone(&request.model), 0, request.kind, size);
            queue.push(Arc::clone(request), now);
            alone = queue;
            &alone
        };
        let own = |r: &&Resident| r.info.model == request.model && !r.unlisted;
        let residents = || state.residents.iter().filter(own);
        let held = |need: u64| {
            let enough =
                residents().filter(|r| state.context_per_request(r).is_none_or(|has| has >= need));
            enough.map(|r| state.context_share(r, request)).next()
        };
        if let Some(has) = held(request.needed_context()) {
            return (has, ContextReason::Loaded);
        }
        if residents().next().is_some() {
            match self.match_growth(state, queue, request, now) {
                ResidentMatch::PermitFree(_) | ResidentMatch::PermitsBusy => {
                    let has = held(request.minimum_context()).unwrap_or(request.base_context);
                    return (has, ContextReason::Limited);
                }
                ResidentMatch::Unavailable(refusal) => return refused_context(&refusal, request),
                _ => {}
            }
        }
        let planned = match self.planned_load(state, queue, request, now) {
            Ok(planned) => planned,
            Err(refusal) => return refused_context(&refusal, request),
        };
        let needed = planned;
        let planned = match residents().next() {
            None => self.with_spare_context(state, queue, request, planned, now),
            Some(_) => planned,
        };
        let history = self.context_histories.get(&state.model_key(&request.model));
        let remembered = history.map_or(0, |m| m.remembered_context(request.configured_context));
        let because = match planned.context {
            c if c < request.needed_context() => ContextReason::Limited,
            c if c > needed.context => ContextReason::Remembered,
            c if c == request.base_context => ContextReason::Configured,
            c if c == remembered.min(request.context_limit()) => ContextReason::Remembered,
            _ => ContextReason::Needed,
        };
        (planned.context, because)
    }
}

// === impl EngineState ===

impl EngineState {
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

fn refused_context(refusal: &Refusal, request: &PermitRequest) -> (u64, ContextReason) {
    match refusal {
        Refusal::ContextExceeded { limit, .. } => (*limit, ContextReason::Refused),
        _ => (request.base_context, ContextReason::Refused),
    }
}
