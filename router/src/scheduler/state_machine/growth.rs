//! A model that is loaded with too little context for a request.
//!
//! It grows by being loaded anew once its running answers have ended. What would have to go for that is
//! waited for as at any load. Where nothing can grow, a prompt that fits is served as it is, and its
//! answer has what is left.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::Fit;

use super::{
    context_plan::context_exceeded,
    context_size::{ContextCeiling, PlannedLoad},
    engine_state::EngineState,
    memory_fit::MemoryFit,
    model_queue::ModelQueue,
    resident::Resident,
    resident_match::ResidentMatch,
    state::Scheduler,
};
use crate::{
    options::instance_context,
    refusal::{ContextBound, Refusal},
    scheduler::messages::{LoadCommand, LoadFailure, PermitRequest},
};

/// A load is not tried again with a context that is smaller than a failed one by less than this part.
const REFUSED_PART: u64 = 16;

// === impl EngineState ===

impl EngineState {
    /// Whether the resident may be loaded anew with more context for a request that needs it.
    fn may_reload_larger(&self, resident: &Resident) -> bool {
        self.may_unload(resident) || self.facts.grow_foreign && self.facts.owns_state
    }

    /// Returns a busy instance that others loaded with too little context for this request, and the
    /// tokens per request that it has; `None` where there is none.
    pub(super) fn busy_foreign_resident(
        &self,
        request: &PermitRequest,
    ) -> Option<(&Resident, u64)> {
        let mut residents = self.residents.iter();
        let found = residents.find(|r| {
            r.info.model == request.model && !r.assumed && !self.may_unload(r) && r.permits_out > 0
        })?;
        let has = self.context_per_request(found)?;
        (has < request.needed_context() && self.facts.load_control).then_some((found, has))
    }

    /// Returns the reason why this model cannot have more than the `has` tokens of its largest
    /// instance; `None` where it can. `own` are the positions of its instances.
    fn growth_bound(
        &self,
        own: &[usize],
        request: &PermitRequest,
        has: u64,
    ) -> Option<ContextBound> {
        let engine = Arc::clone(&self.facts.name);
        let kind = self.facts.kind;
        if !self.facts.load_control {
            return Some(ContextBound::Engine { engine, kind });
        }
        let fixed = |at: &&usize| !self.may_reload_larger(&self.residents[**at]);
        if let Some(at) = own.iter().find(fixed) {
            if !self.facts.owns_state {
                return Some(ContextBound::Owned { engine });
            }
            let instance = Arc::clone(&self.residents[*at].info.instance);
            return Some(ContextBound::Foreign {
                engine,
                kind,
                instance,
            });
        }
        let rejects = request.fit == Fit::Reject && has >= request.base_context;
        rejects.then_some(ContextBound::Configured)
    }

    /// Returns the tokens of context per request of the instance at this position; 0 where they are
    /// not known.
    fn context_at(&self, at: usize) -> u64 {
        self.context_per_request(&self.residents[at]).unwrap_or(0)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Matches a request whose model is loaded, but with too little context.
    pub(super) fn match_growth(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> ResidentMatch {
        let own = |at: &usize| state.residents[*at].info.model == request.model;
        let own: Vec<usize> = (0..state.residents.len()).filter(own).collect();
        let Some(largest) = own.iter().copied().max_by_key(|at| state.context_at(*at)) else {
            return ResidentMatch::NeedsLoad;
        };
        let has = state.context_at(largest);
        let prompt_fits = has >= request.minimum_context();
        let refusal = match self.planned_growth(state, queue, request, &own, now) {
            // For a longer answer alone nothing is loaded that does not give it.
            Ok(Some((planned, _))) if prompt_fits && planned.context < request.needed_context() => {
                None
            }
            Ok(Some((planned, matched))) if planned.context > has => return matched,
            Ok(_) => None,
            Err(refusal) => Some(refusal),
        };
        if prompt_fits {
            return if state.has_free_permit(&state.residents[largest], request) {
                ResidentMatch::PermitFree(largest)
            } else {
                ResidentMatch::PermitsBusy
            };
        }
        ResidentMatch::Unavailable(refusal.unwrap_or_else(|| {
            let pool = Arc::clone(&state.facts.pool);
            context_exceeded(request, has, ContextBound::Memory { pool })
        }))
    }

    /// Returns the load that would replace the instances `own`, and what it waits for.
    fn planned_growth(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        own: &[usize],
        now: Instant,
    ) -> Result<Option<(PlannedLoad, ResidentMatch)>, Refusal> {
        let Some(first) = own.first().copied() else {
            return Ok(None);
        };
        let has = own.iter().map(|at| state.context_at(*at)).max();
        let has = has.unwrap_or(0);
        if let Some(bound) = state.growth_bound(own, request, has) {
            return Err(context_exceeded(request, has, bound));
        }
        let history = self.context_histories.get(&state.model_key(&request.model));
        if let Some(ceiling) = history.and_then(|h| h.engine_ceiling(now))
            && has >= ceiling.most_tokens
        {
            let engine = Arc::clone(&state.facts.name);
            let bound = ContextBound::Yielded { engine };
            return Err(context_exceeded(request, has, bound));
        }
        let planned = self.planned_load(state, queue, request, now)?;
        let instance = &state.residents[first].info.instance;
        match self.memory_fit(state, request.kind, planned.bytes, Some(instance), now) {
            MemoryFit::Fits | MemoryFit::FitsAlone | MemoryFit::AfterEviction(_) => {
                Ok(Some((planned, ResidentMatch::NeedsGrowth(first))))
            }
            // Its own instance stays until the others can go.
            MemoryFit::AfterDrain(scope) => {
                Ok(Some((planned, ResidentMatch::NeedsEviction(scope))))
            }
            MemoryFit::Blocked(blocker) => {
                Err(self.blocked_refusal(state, queue, request, blocker))
            }
        }
    }

    /// Learns from a failed load how much context the engine has no memory for. Returns whether those
    /// who waited for the load may wait for a smaller one.
    pub(super) fn note_failed_growth(
        &mut self,
        command: &LoadCommand,
        failure: &LoadFailure,
        now: Instant,
    ) -> bool {
        let Some(words) = failure.maybe_out_of_memory() else {
            return false;
        };
        let Some(context) = command.tuple.context else {
            return false;
        };
        let Some(state) = self.engine(&command.engine) else {
            return false;
        };
        let key = state.model_key(&command.model);
        let history = self.context_histories.get(&key);
        let loads_smaller = history.is_some_and(|h| h.largest > 0);
        let to_spare = command
            .needed_context
            .is_some_and(|needed| needed < context);
        // Words that any failure may have mean memory only where less is known to load.
        if !loads_smaller && !to_spare && matches!(failure, LoadFailure::Refused(_)) {
            return false;
        }
        let configured = command.configured_context;
        if configured.is_none_or(|configured| context <= configured) {
            return false;
        }
        let max = self.model_size(&state.facts, &command.model).max_context();
        let whole = instance_context(state.facts.kind, context, command.permits, max);
        let pool = &state.facts.pool;
        let others = |e: &EngineState| {
            let own = e.facts.name == command.engine;
            let mut residents = e.residents.iter();
            e.facts.pool == *pool && residents.any(|r| !own || r.info.model != command.model)
        };
        let beside_others = self.engines.iter().any(others);
        let most = whole.saturating_sub((whole / REFUSED_PART).max(1));
        let ceiling = ContextCeiling::new(most, beside_others, words, now);
        self.context_histories
            .entry(key)
            .or_default()
            .memory_ceiling = Some(ceiling);
        true
    }

    /// Forgets what did not fit beside other models of this pool, because the model `gone` left it.
    pub(super) fn clear_memory_ceilings(&mut self, pool: &str, gone: &str) {
        let engines = &self.engines;
        for ((engine, model), history) in &mut self.context_histories {
            let of_pool = |e: &EngineState| e.facts.name == *engine && *e.facts.pool == *pool;
            let ceiling = history.memory_ceiling.as_ref();
            if **model != *gone
                && ceiling.is_some_and(|c| c.beside_others)
                && engines.iter().any(of_pool)
            {
                history.memory_ceiling = None;
            }
        }
    }
}
