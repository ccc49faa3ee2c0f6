//! The choice of the context for a load: a plan, or the refusal of a prompt that is too long.
//!
//! The plan is the configured, remembered or next larger context that [`context_to_load`] names, if the
//! pool has the memory and the engine did not refuse it lately. Else the [`context_ladder`] leads down:
//! smaller steps, then what all who wait need, then what the request itself needs, and last its prompt
//! with a shorter answer. On engines whose slots share one context, a load for fewer requests at once
//! comes before a shorter answer.

use std::{sync::Arc, time::Instant};

use crucible_config::{checked::Fit, engine_profile::SlotContext};

use super::{
    context_size::{
        ContextCeiling, ContextHistory, PlannedLoad, context_ladder, context_to_load, largest_where,
    },
    engine_state::EngineState,
    limit_scope::LimitScope,
    memory_fit::MemoryBlocker,
    model_queue::ModelQueue,
    state::Scheduler,
};
use crate::{
    catalog::ModelKind,
    options::instance_context,
    refusal::{ContextBound, Refusal},
    scheduler::messages::PermitRequest,
};

/// The seconds of `Retry-After` for a prompt that needs more context than the engine had memory
/// for.
const RETRY_AFTER: u64 = 60;

/// A load that would do: tokens of context for each request, and how many requests share it.
type ContextChoice = (u64, u32);

/// The refusal of a prompt that is longer than `limit` tokens, which `bound` says the cause of.
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

/// The refusal of a prompt that needs a context for which the engine lately had no memory.
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

// === impl EngineState ===

impl EngineState {
    /// Whether the slots of one instance share its context, so that fewer of them have more of it.
    fn shares_context(&self) -> bool {
        let slots = self.facts.kind.profile().slots;
        matches!(slots, SlotContext::Shared | SlotContext::Divided)
    }

    /// The requests that a load of this kind is made for.
    fn permits_of(&self, kind: ModelKind) -> u32 {
        match kind {
            ModelKind::Generation => self.facts.permits_per_resident.max(1),
            ModelKind::Embedding => 1,
        }
    }

    /// The cause of the limit that a prompt exceeds however much memory there is.
    fn bound_of_limit(&self, queue: &ModelQueue, request: &PermitRequest) -> ContextBound {
        let facts = &self.facts;
        let most = request.context_limit();
        match (request.fit, queue.model_size.max_context()) {
            (Fit::Reject, _) => ContextBound::Configured,
            // In router mode the context of a model is that of its preset.
            (Fit::Grow, Some(max))
                if max <= most
                    && facts.kind.profile().slots == SlotContext::Divided
                    && !facts.is_child =>
            {
                ContextBound::Engine {
                    engine: Arc::clone(&facts.name),
                    kind: facts.kind,
                }
            }
            (Fit::Grow, Some(max)) if max <= most => ContextBound::Model,
            (Fit::Grow, _) => ContextBound::Max,
        }
    }

    /// The loads that would do for a request, the best first, without those that the engine is known to
    /// refuse.
    fn context_choices(
        &self,
        queue: &ModelQueue,
        request: &PermitRequest,
        history: Option<&ContextHistory>,
        now: Instant,
    ) -> Result<Vec<ContextChoice>, Refusal> {
        let facts = &self.facts;
        let permits = self.permits_of(request.kind);
        let most = request.context_limit();
        let remembered = history.map_or(0, |h| h.remembered_context(request.configured_context));
        let shared = queue.largest_need().max(request.needed_context());
        let full = context_to_load(shared, request.base_context, most, remembered);
        let mut rungs = context_ladder(full, shared, request);
        let base = request.base_context.min(request.configured_context);
        if let Some(ceiling) = history.and_then(|h| h.engine_ceiling(now)) {
            let most = ceiling.most_tokens.max(base);
            rungs.retain(|context| *context <= most);
            if rungs.is_empty() {
                let engine = Arc::clone(&facts.name);
                let bound = ContextBound::Yielded { engine };
                return Err(context_exceeded(request, most, bound));
            }
        }
        let mut choices: Vec<ContextChoice> = rungs.iter().map(|c| (*c, permits)).collect();
        if self.shares_context() && permits > 1 {
            // Fewer requests at once, before the answer has less room.
            let short = rungs.iter().position(|c| *c < request.needed_context());
            let short = short.unwrap_or(rungs.len());
            let alone = rungs[..short].iter().map(|c| (*c, 1));
            choices.splice(short..short, alone);
            choices.extend(rungs[short..].iter().map(|c| (*c, 1)));
        }
        let Some(ceiling) = history.and_then(|h| h.memory_ceiling(now)) else {
            return Ok(choices);
        };
        choices.retain(|(context, permits)| {
            let max = queue.model_size.max_context();
            let whole = instance_context(facts.kind, *context, *permits, max);
            *context <= base || whole <= ceiling.most_tokens
        });
        if choices.is_empty() {
            return Err(out_of_memory_refusal(request, ceiling));
        }
        Ok(choices)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The most bytes that a load of this engine may take: its budgets, `beside` less what may not be
    /// evicted for it; `None` where there is no budget.
    fn available_bytes(&self, state: &EngineState, model: &str, beside: bool) -> Option<u64> {
        let scopes = [LimitScope::PoolMemory, LimitScope::SharedMemory];
        let each = scopes.into_iter().filter_map(|scope| {
            if !beside {
                // What other programs hold comes free again: it makes no prompt too long.
                return self.configured_budget(scope, &state.facts);
            }
            let budget = self.effective_budget(scope, &state.facts)?;
            Some(budget.saturating_sub(self.unevictable_bytes(scope, state, model)))
        });
        each.min()
    }

    /// The load that serves a request and those who wait with it, or the refusal of a prompt that no
    /// load can serve.
    pub(super) fn planned_load(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> Result<PlannedLoad, Refusal> {
        let facts = &state.facts;
        let permits = state.permits_of(request.kind);
        let plan = |(context, permits): ContextChoice| PlannedLoad {
            context,
            permits,
            bytes: queue.model_size.load_bytes(facts, context, permits),
        };
        if request.tuple.context.is_none() {
            return Ok(plan((0, permits)));
        }
        let (need, most) = (request.needed_context(), request.context_limit());
        if request.minimum_context() > most {
            let bound = state.bound_of_limit(queue, request);
            return Err(context_exceeded(request, most, bound));
        }
        let history = self.context_histories.get(&state.model_key(&request.model));
        let choices = state.context_choices(queue, request, history, now)?;
        let Some((first, last)) = choices.first().copied().zip(choices.last().copied()) else {
            return Ok(plan((need, permits)));
        };
        let fits = |choice: ContextChoice, available: Option<u64>| {
            let both = plan(choice).bytes.zip(available);
            both.is_none_or(|(bytes, available)| bytes <= available)
        };
        let base = request.base_context.min(request.configured_context);
        let whole_budget = self.available_bytes(state, &request.model, false);
        if !fits((base, permits), whole_budget) {
            // It exceeds the budget by itself, so the budget does not decide about its context.
            return Ok(plan(first));
        }
        let available = self.available_bytes(state, &request.model, true);
        if let Some((context, permits)) = choices.into_iter().find(|c| fits(*c, available)) {
            // Between two rungs nobody knows what an engine without memory would still load.
            let refused = history.is_some_and(|h| h.memory_ceiling(now).is_some());
            if context >= need || refused {
                return Ok(plan((context, permits)));
            }
            let more = largest_where(context, need, |c| fits((c, permits), available));
            return Ok(plan((more.unwrap_or(context), permits)));
        }
        if !queue.model_size.knows_token_bytes() || fits(last, whole_budget) {
            // Sizes that are assumed refuse nothing; and what is in the way is named by the caller.
            return Ok(plan((need.max(base), last.1)));
        }
        let limit = largest_where(1, most, |c| fits((c, last.1), whole_budget)).unwrap_or(0);
        let pool = Arc::clone(&facts.pool);
        Err(context_exceeded(
            request,
            limit,
            ContextBound::Memory { pool },
        ))
    }

    /// The refusal of a load that something is in the way of. Where that is pinned and a shorter prompt
    /// would be served beside it, waiting helps nobody: the client is told how many tokens fit.
    pub(super) fn blocked_refusal(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        blocker: MemoryBlocker,
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
        match short.zip(blocker.bound(&facts.pool)) {
            Some((limit, bound)) => context_exceeded(request, limit, bound),
            None => blocker.refusal(request, &facts.pool),
        }
    }
}
