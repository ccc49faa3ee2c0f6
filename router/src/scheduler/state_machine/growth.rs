//! How much context a load is given, and what becomes of a model that is there with too little.
//!
//! A model grows by being loaded anew. What would have to go for that is waited for like at any
//! load; where memory or the engine set a limit, the largest context that they allow is taken; and
//! where nothing can grow, what is left beside the prompt is the answer's.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::{EngineKind, Fit};

use super::{
    context_size::{ContextCeiling, PlannedLoad, context_ladder, context_to_load, largest_where},
    memory_fit::{MemoryBlocker, MemoryFit},
    model_queue::ModelQueue,
    resident_match::{LimitScope, ResidentMatch},
    state::{EngineState, Resident, Scheduler},
};
use crate::{
    catalog::ModelKind,
    engine::tuple::instance_context,
    refusal::{ContextBound, Refusal},
    scheduler::messages::{LoadCommand, LoadFailure, PermitRequest},
};

/// For a load that the engine had no memory for.
const RETRY_AFTER: u64 = 60;
/// What is less than a load that failed by no more than this part of it is not tried either.
const REFUSED_SHARE: u64 = 16;

/// The prompt is longer than what can be had.
pub(super) fn context_exceeded(
    request: &PermitRequest,
    limit: u64,
    bound: ContextBound,
) -> Refusal {
    Refusal::ContextExceeded {
        model: Arc::clone(&request.name),
        prompt: request.prompt_tokens,
        reserve: request.answer_tokens,
        limit,
        bound,
    }
}

// === impl EngineState ===

impl EngineState {
    /// The slots of one instance share its context, so that fewer of them have more of it.
    fn shares_context(&self) -> bool {
        matches!(self.facts.kind, EngineKind::Lmstudio | EngineKind::Llamacpp)
    }

    /// May be loaded anew with more context for a request that needs it.
    fn may_reload_larger(&self, resident: &Resident) -> bool {
        self.may_unload(resident) || self.facts.grow_foreign && self.facts.owns_state
    }

    /// What a person loaded with too little context for this request, and what it has, while it is
    /// used.
    pub(super) fn busy_foreign_resident(
        &self,
        request: &PermitRequest,
    ) -> Option<(&Resident, u64)> {
        let mut residents = self.residents.iter();
        let found = residents.find(|r| {
            r.info.model == request.model && !r.assumed && !self.may_unload(r) && r.permits_out > 0
        })?;
        let has = self
            .context_per_request(found)
            .filter(|has| *has < request.needed_context())?;
        self.facts.load_control.then_some((found, has))
    }

    /// Whose it is that this model cannot have more than its smallest instance has; `None`: it can.
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
        if let Some(at) = own
            .iter()
            .find(|at| !self.may_reload_larger(&self.residents[**at]))
        {
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
        (request.fit == Fit::Reject && has >= request.base_context)
            .then_some(ContextBound::Configured)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The most bytes that a load of this engine may take: its budgets less what stays.
    fn available_bytes(&self, state: &EngineState, model: &str, beside: bool) -> Option<u64> {
        let scopes = [LimitScope::PoolMemory, LimitScope::SharedMemory];
        let each = scopes.into_iter().filter_map(|scope| {
            if !beside {
                // What others hold comes free again: it makes no prompt too long.
                return self.configured_budget(scope, &state.facts);
            }
            let budget = self.effective_budget(scope, &state.facts)?;
            Some(budget.saturating_sub(self.unevictable_bytes(scope, state, model)))
        });
        each.min()
    }

    /// What a model is loaded with: as [`size`] says, or less where only that fits its pool or was
    /// not refused by the engine.
    pub(super) fn planned_load(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> Result<PlannedLoad, Refusal> {
        let facts = &state.facts;
        let permits = match request.kind {
            ModelKind::Generation => facts.permits_per_resident.max(1),
            ModelKind::Embedding => 1,
        };
        let plan = |context, permits| PlannedLoad {
            context,
            permits,
            bytes: queue.model_size.load_bytes(facts, context, permits),
        };
        if request.tuple.context.is_none() {
            return Ok(plan(0, permits));
        }
        let most = request.context_limit();
        if request.minimum_context() > most {
            let bound = match (request.fit, queue.model_size.max_context()) {
                (Fit::Reject, _) => ContextBound::Configured,
                // Router mode: what a model may have is its preset's.
                (Fit::Grow, Some(max))
                    if max <= most && facts.kind == EngineKind::Llamacpp && !facts.is_child =>
                {
                    ContextBound::Engine {
                        engine: Arc::clone(&facts.name),
                        kind: facts.kind,
                    }
                }
                (Fit::Grow, Some(max)) if max <= most => ContextBound::Model,
                (Fit::Grow, _) => ContextBound::Max,
            };
            return Err(context_exceeded(request, most, bound));
        }
        let history = self.context_histories.get(&state.model_key(&request.model));
        let remembered = history.map_or(0, |m| m.remembered_context(request.configured_context));
        let shared = queue.largest_need().max(request.needed_context());
        let mut rungs = context_ladder(
            context_to_load(shared, request.base_context, most, remembered),
            shared,
            request,
        );
        let base = request.base_context.min(request.configured_context);
        if let Some(ceiling) = history.and_then(|m| m.engine_ceiling(now)) {
            let most = ceiling.most_tokens.max(base);
            rungs.retain(|context| *context <= most);
            if rungs.is_empty() {
                let engine = Arc::clone(&facts.name);
                return Err(context_exceeded(
                    request,
                    most,
                    ContextBound::Yielded { engine },
                ));
            }
        }
        let mut choices: Vec<(u64, u32)> = rungs.iter().map(|c| (*c, permits)).collect();
        if state.shares_context() && permits > 1 {
            // Fewer requests at once, before the answer has less room.
            let short = rungs.iter().position(|c| *c < request.needed_context());
            let short = short.unwrap_or(rungs.len());
            let alone = rungs[..short].iter().map(|c| (*c, 1));
            choices.splice(short..short, alone);
            choices.extend(rungs[short..].iter().map(|c| (*c, 1)));
        }
        let refused = history.and_then(|m| m.memory_ceiling(now));
        let loads = |context: u64, permits: u32| {
            let whole =
                instance_context(facts.kind, context, permits, queue.model_size.max_context());
            context <= base || refused.is_none_or(|ceiling| whole <= ceiling.most_tokens)
        };
        choices.retain(|(context, permits)| loads(*context, *permits));
        if let Some(ceiling) = refused.filter(|_| choices.is_empty()) {
            return Err(out_of_memory_refusal(request, ceiling));
        }
        let Some((first, last)) = choices.first().copied().zip(choices.last().copied()) else {
            return Ok(plan(request.needed_context(), permits));
        };
        let fits = |context, permits, available: Option<u64>| {
            let bytes = queue.model_size.load_bytes(facts, context, permits);
            bytes
                .zip(available)
                .is_none_or(|(b, available)| b <= available)
        };
        let whole_budget = self.available_bytes(state, &request.model, false);
        if !fits(base, permits, whole_budget) {
            // It exceeds the budget by itself, so the budget does not decide about its context.
            return Ok(plan(first.0, first.1));
        }
        let available = self.available_bytes(state, &request.model, true);
        if let Some((c, p)) = choices.iter().find(|(c, p)| fits(*c, *p, available)) {
            // Between two rungs nobody knows what an engine without memory would still load.
            if *c >= request.needed_context() || refused.is_some() {
                return Ok(plan(*c, *p));
            }
            let more = largest_where(*c, request.needed_context(), |c| fits(c, *p, available));
            return Ok(plan(more.unwrap_or(*c), *p));
        }
        if !queue.model_size.knows_token_bytes() || fits(last.0, last.1, whole_budget) {
            // What is only assumed refuses nothing; and what is in the way is told by its name.
            return Ok(plan(request.needed_context().max(base), last.1));
        }
        let limit = largest_where(1, most, |c| fits(c, last.1, whole_budget)).unwrap_or(0);
        let pool = Arc::clone(&facts.pool);
        Err(context_exceeded(
            request,
            limit,
            ContextBound::Memory { pool },
        ))
    }

    /// What is in the way of a load. Where it is pinned and a shorter prompt would be served, waiting
    /// helps nobody, and the client is told how much there is.
    pub(super) fn blocked_refusal(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        why: MemoryBlocker,
    ) -> Refusal {
        let facts = &state.facts;
        let permits = match request.kind {
            ModelKind::Generation if !state.shares_context() => facts.permits_per_resident.max(1),
            ModelKind::Generation | ModelKind::Embedding => 1,
        };
        let available = self.available_bytes(state, &request.model, true);
        let fits = |context| {
            let bytes = queue.model_size.load_bytes(facts, context, permits);
            bytes.zip(available).is_none_or(|(b, has)| b <= has)
        };
        let base = request.base_context.min(request.configured_context);
        let limit = largest_where(base, request.context_limit().max(base), fits);
        let short = limit.filter(|limit| *limit < request.minimum_context());
        match short.zip(why.bound(&facts.pool)) {
            Some((limit, bound)) => context_exceeded(request, limit, bound),
            None => why.refusal(request),
        }
    }

    /// The model is there, but too small.
    pub(super) fn match_growth(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> ResidentMatch {
        let own = |at: &usize| state.residents[*at].info.model == request.model;
        let own: Vec<usize> = (0..state.residents.len()).filter(own).collect();
        let room = |at: &usize| {
            state
                .context_per_request(&state.residents[*at])
                .unwrap_or(0)
        };
        let Some(largest) = own.iter().copied().max_by_key(room) else {
            return ResidentMatch::NeedsLoad;
        };
        let has = room(&largest);
        let grown = self.planned_growth(state, queue, request, &own, now);
        let refusal = match grown {
            // For a longer answer alone nothing is loaded that does not give it.
            Ok(Some((planned, _)))
                if has >= request.minimum_context()
                    && planned.context < request.needed_context() =>
            {
                None
            }
            Ok(Some((planned, matched))) if planned.context > has => return matched,
            Ok(_) => None,
            Err(refusal) => Some(refusal),
        };
        let resident = &state.residents[largest];
        if has >= request.minimum_context() {
            return if state.has_free_permit(resident, request) {
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

    /// What loading it anew would give, and what that waits for.
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
        let room = |at: &usize| {
            state
                .context_per_request(&state.residents[*at])
                .unwrap_or(0)
        };
        let has = own.iter().map(room).max().unwrap_or(0);
        if let Some(bound) = state.growth_bound(own, request, has) {
            return Err(context_exceeded(request, has, bound));
        }
        let history = self.context_histories.get(&state.model_key(&request.model));
        if let Some(ceiling) = history.and_then(|m| m.engine_ceiling(now))
            && has >= ceiling.most_tokens
        {
            let engine = Arc::clone(&state.facts.name);
            return Err(context_exceeded(
                request,
                has,
                ContextBound::Yielded { engine },
            ));
        }
        let planned = self.planned_load(state, queue, request, now)?;
        let instance = &state.residents[first].info.instance;
        match self.memory_fit(state, planned.bytes, Some(instance), now) {
            MemoryFit::Fits | MemoryFit::FitsAlone | MemoryFit::AfterEviction(_) => {
                Ok(Some((planned, ResidentMatch::NeedsGrowth(first))))
            }
            // Its own instance stays until the others can go.
            MemoryFit::AfterDrain(scope) => {
                Ok(Some((planned, ResidentMatch::NeedsEviction(scope))))
            }
            MemoryFit::Blocked(why) => Err(self.blocked_refusal(state, queue, request, why)),
        }
    }

    /// What the end of a load says of how much there may be; gives whether those who waited for it
    /// may wait for a smaller one.
    pub(super) fn note_failed_growth(
        &mut self,
        order: &LoadCommand,
        failure: &LoadFailure,
        now: Instant,
    ) -> bool {
        let (Some(words), Some(context)) = (failure.maybe_out_of_memory(), order.tuple.context)
        else {
            return false;
        };
        let Some(state) = self.engine(&order.engine) else {
            return false;
        };
        let key = state.model_key(&order.model);
        let loads_smaller = self
            .context_histories
            .get(&key)
            .is_some_and(|m| m.largest > 0);
        let to_spare = order.needed_context.is_some_and(|needed| needed < context);
        if !loads_smaller && !to_spare && matches!(failure, LoadFailure::Refused(_)) {
            return false;
        }
        if order
            .configured_context
            .is_none_or(|configured| context <= configured)
        {
            return false;
        }
        let (kind, max) = (
            state.facts.kind,
            self.model_size(&state.facts, &order.model).max_context(),
        );
        let whole = instance_context(kind, context, order.permits, max);
        let pool = Arc::clone(&state.facts.pool);
        let others = |e: &EngineState| {
            let own = e.facts.name == order.engine;
            let mut residents = e.residents.iter();
            e.facts.pool == pool && residents.any(|r| !own || r.info.model != order.model)
        };
        let beside = self.engines.iter().any(others);
        let most = whole.saturating_sub((whole / REFUSED_SHARE).max(1));
        let ceiling = ContextCeiling::new(most, beside, words, now);
        self.context_histories
            .entry(key)
            .or_default()
            .memory_ceiling = Some(ceiling);
        true
    }

    /// A model of that pool went: what did not fit beside it may fit now.
    pub(super) fn clear_memory_ceilings(&mut self, pool: &str, gone: &str) {
        let engines = &self.engines;
        for ((engine, model), history) in &mut self.context_histories {
            let of_pool = |e: &EngineState| e.facts.name == *engine && *e.facts.pool == *pool;
            if **model != *gone
                && history
                    .memory_ceiling
                    .as_ref()
                    .is_some_and(|c| c.beside_others)
                && engines.iter().any(of_pool)
            {
                history.memory_ceiling = None;
            }
        }
    }
}

/// The engine had no memory for a context that holds this prompt.
fn out_of_memory_refusal(request: &PermitRequest, ceiling: &ContextCeiling) -> Refusal {
    Refusal::LoadFailed {
        engine: Arc::clone(&request.engine),
        model: Arc::clone(&request.name),
        message: format!(
            "a prompt of about {} tokens needs more context than it has memory for: {}",
            request.prompt_tokens, ceiling.engine_message
        ),
        retry_after: RETRY_AFTER,
    }
}
