//! How much context a load is given, and what becomes of a model that is there with too little.
//!
//! A model grows by being loaded anew. What would have to go for that is waited for like at any
//! load; where memory or the engine set a limit, the largest context that they allow is taken; and
//! where nothing can grow, what is left beside the prompt is the answer's.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::{EngineKind, Fit};

use super::{
    fit::{Ceiling, Planned, ladder, largest, limit, size},
    line::Line,
    room::{Blocked, Room},
    standing::{Scope, Standing},
    state::{EngineState, Resident, Scheduler},
    types::{Arrival, LoadFailure, Order},
};
use crate::{
    catalog::ModelKind,
    engine::tuple::instance_context,
    refusal::{ContextBound, Refusal},
};

/// For a load that the engine had no memory for.
const RETRY_AFTER: u64 = 60;
/// What is less than a load that failed by no more than this part of it is not tried either.
const REFUSED_SHARE: u64 = 16;

/// The prompt is longer than what can be had.
pub(super) fn exceeded(arrival: &Arrival, limit: u64, bound: ContextBound) -> Refusal {
    Refusal::ContextExceeded {
        model: Arc::clone(&arrival.name),
        prompt: arrival.prompt,
        reserve: arrival.reserve,
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
    fn may_grow(&self, resident: &Resident) -> bool {
        self.ours(resident) || self.facts.grow_foreign && self.facts.owner
    }

    /// What a person loaded with too little context for this request, and what it has, while it is
    /// used.
    pub(super) fn busy_foreign(&self, arrival: &Arrival) -> Option<(&Resident, u64)> {
        let mut residents = self.residents.iter();
        let found = residents.find(|r| {
            r.info.model == arrival.model && !r.assumed && !self.ours(r) && r.active > 0
        })?;
        let has = self.room(found).filter(|has| *has < arrival.need())?;
        self.facts.load_control.then_some((found, has))
    }

    /// Whose it is that this model cannot have more than its smallest instance has; `None`: it can.
    fn fixed(&self, own: &[usize], arrival: &Arrival, has: u64) -> Option<ContextBound> {
        let engine = Arc::clone(&self.facts.name);
        let kind = self.facts.kind;
        if !self.facts.load_control {
            return Some(ContextBound::Engine { engine, kind });
        }
        if let Some(at) = own.iter().find(|at| !self.may_grow(&self.residents[**at])) {
            if !self.facts.owner {
                return Some(ContextBound::Owned { engine });
            }
            let instance = Arc::clone(&self.residents[*at].info.instance);
            return Some(ContextBound::Foreign {
                engine,
                kind,
                instance,
            });
        }
        (arrival.fit == Fit::Reject && has >= arrival.base).then_some(ContextBound::Configured)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The most bytes that a load of this engine may take: its budgets less what stays.
    fn available(&self, state: &EngineState, model: &str, beside: bool) -> Option<u64> {
        let scopes = [Scope::Pool, Scope::Parent];
        let each = scopes.into_iter().filter_map(|scope| {
            if !beside {
                // What others hold comes free again: it makes no prompt too long.
                return self.budget(scope, &state.facts);
            }
            let budget = self.budget_now(scope, &state.facts)?;
            Some(budget.saturating_sub(self.stays(scope, state, model)))
        });
        each.min()
    }

    /// What a model is loaded with: as [`size`] says, or less where only that fits its pool or was
    /// not refused by the engine.
    pub(super) fn planned(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        now: Instant,
    ) -> Result<Planned, Refusal> {
        let facts = &state.facts;
        let permits = match arrival.kind {
            ModelKind::Generation => facts.permits.max(1),
            ModelKind::Embedding => 1,
        };
        let plan = |context, permits| Planned {
            context,
            permits,
            bytes: line.size.of_load(facts, context, permits),
        };
        if arrival.tuple.context.is_none() {
            return Ok(plan(0, permits));
        }
        let most = limit(arrival);
        if arrival.least() > most {
            let bound = match (arrival.fit, line.size.max()) {
                (Fit::Reject, _) => ContextBound::Configured,
                // Router mode: what a model may have is its preset's.
                (Fit::Grow, Some(max))
                    if max <= most && facts.kind == EngineKind::Llamacpp && !facts.spawned =>
                {
                    ContextBound::Engine {
                        engine: Arc::clone(&facts.name),
                        kind: facts.kind,
                    }
                }
                (Fit::Grow, Some(max)) if max <= most => ContextBound::Model,
                (Fit::Grow, _) => ContextBound::Max,
            };
            return Err(exceeded(arrival, most, bound));
        }
        let mark = self.marks.get(&state.place(&arrival.model));
        let remembered = mark.map_or(0, |m| m.remembered(arrival.configured));
        let shared = line.need().max(arrival.need());
        let mut rungs = ladder(
            size(shared, arrival.base, most, remembered),
            shared,
            arrival,
        );
        let base = arrival.base.min(arrival.configured);
        if let Some(ceiling) = mark.and_then(|m| m.yielded(now)) {
            let most = ceiling.most.max(base);
            rungs.retain(|context| *context <= most);
            if rungs.is_empty() {
                let engine = Arc::clone(&facts.name);
                return Err(exceeded(arrival, most, ContextBound::Yielded { engine }));
            }
        }
        let mut choices: Vec<(u64, u32)> = rungs.iter().map(|c| (*c, permits)).collect();
        if state.shares_context() && permits > 1 {
            // Fewer requests at once, before the answer has less room.
            let short = rungs.iter().position(|c| *c < arrival.need());
            let short = short.unwrap_or(rungs.len());
            let alone = rungs[..short].iter().map(|c| (*c, 1));
            choices.splice(short..short, alone);
            choices.extend(rungs[short..].iter().map(|c| (*c, 1)));
        }
        let refused = mark.and_then(|m| m.refused(now));
        let loads = |context: u64, permits: u32| {
            let whole = instance_context(facts.kind, context, permits, line.size.max());
            context <= base || refused.is_none_or(|ceiling| whole <= ceiling.most)
        };
        choices.retain(|(context, permits)| loads(*context, *permits));
        if let Some(ceiling) = refused.filter(|_| choices.is_empty()) {
            return Err(out_of_memory(arrival, ceiling));
        }
        let Some((first, last)) = choices.first().copied().zip(choices.last().copied()) else {
            return Ok(plan(arrival.need(), permits));
        };
        let fits = |context, permits, available: Option<u64>| {
            let bytes = line.size.of_load(facts, context, permits);
            bytes
                .zip(available)
                .is_none_or(|(b, available)| b <= available)
        };
        let whole_budget = self.available(state, &arrival.model, false);
        if !fits(base, permits, whole_budget) {
            // It exceeds the budget by itself, so the budget does not decide about its context.
            return Ok(plan(first.0, first.1));
        }
        let available = self.available(state, &arrival.model, true);
        if let Some((c, p)) = choices.iter().find(|(c, p)| fits(*c, *p, available)) {
            // Between two rungs nobody knows what an engine without memory would still load.
            if *c >= arrival.need() || refused.is_some() {
                return Ok(plan(*c, *p));
            }
            let more = largest(*c, arrival.need(), |c| fits(c, *p, available));
            return Ok(plan(more.unwrap_or(*c), *p));
        }
        if !line.size.is_told() || fits(last.0, last.1, whole_budget) {
            // What is only assumed refuses nothing; and what is in the way is told by its name.
            return Ok(plan(arrival.need().max(base), last.1));
        }
        let limit = largest(1, most, |c| fits(c, last.1, whole_budget)).unwrap_or(0);
        let pool = Arc::clone(&facts.pool);
        Err(exceeded(arrival, limit, ContextBound::Memory { pool }))
    }

    /// What is in the way of a load. Where it is pinned and a shorter prompt would be served, waiting
    /// helps nobody, and the client is told how much there is.
    pub(super) fn beside(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        why: Blocked,
    ) -> Refusal {
        let facts = &state.facts;
        let permits = match arrival.kind {
            ModelKind::Generation if !state.shares_context() => facts.permits.max(1),
            ModelKind::Generation | ModelKind::Embedding => 1,
        };
        let available = self.available(state, &arrival.model, true);
        let fits = |context| {
            let bytes = line.size.of_load(facts, context, permits);
            bytes.zip(available).is_none_or(|(b, has)| b <= has)
        };
        let base = arrival.base.min(arrival.configured);
        let limit = largest(base, limit(arrival).max(base), fits);
        let short = limit.filter(|limit| *limit < arrival.least());
        match short.zip(why.bound(&facts.pool)) {
            Some((limit, bound)) => exceeded(arrival, limit, bound),
            None => why.refusal(arrival),
        }
    }

    /// The model is there, but too small.
    pub(super) fn grows(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        now: Instant,
    ) -> Standing {
        let own = |at: &usize| state.residents[*at].info.model == arrival.model;
        let own: Vec<usize> = (0..state.residents.len()).filter(own).collect();
        let room = |at: &usize| state.room(&state.residents[*at]).unwrap_or(0);
        let Some(largest) = own.iter().copied().max_by_key(room) else {
            return Standing::Load;
        };
        let has = room(&largest);
        let grown = self.growth(state, line, arrival, &own, now);
        let refusal = match grown {
            // For a longer answer alone nothing is loaded that does not give it.
            Ok(Some((planned, _)))
                if has >= arrival.least() && planned.context < arrival.need() =>
            {
                None
            }
            Ok(Some((planned, standing))) if planned.context > has => return standing,
            Ok(_) => None,
            Err(refusal) => Some(refusal),
        };
        let resident = &state.residents[largest];
        if has >= arrival.least() {
            return if state.has_permit(resident, arrival) {
                Standing::Free(largest)
            } else {
                Standing::Slot
            };
        }
        Standing::Never(refusal.unwrap_or_else(|| {
            let pool = Arc::clone(&state.facts.pool);
            exceeded(arrival, has, ContextBound::Memory { pool })
        }))
    }

    /// What loading it anew would give, and what that waits for.
    fn growth(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        own: &[usize],
        now: Instant,
    ) -> Result<Option<(Planned, Standing)>, Refusal> {
        let Some(first) = own.first().copied() else {
            return Ok(None);
        };
        let room = |at: &usize| state.room(&state.residents[*at]).unwrap_or(0);
        let has = own.iter().map(room).max().unwrap_or(0);
        if let Some(bound) = state.fixed(own, arrival, has) {
            return Err(exceeded(arrival, has, bound));
        }
        let mark = self.marks.get(&state.place(&arrival.model));
        if let Some(ceiling) = mark.and_then(|m| m.yielded(now))
            && has >= ceiling.most
        {
            let engine = Arc::clone(&state.facts.name);
            return Err(exceeded(arrival, has, ContextBound::Yielded { engine }));
        }
        let planned = self.planned(state, line, arrival, now)?;
        let instance = &state.residents[first].info.instance;
        match self.room(state, planned.bytes, Some(instance), now) {
            Room::Fits | Room::Alone | Room::Evict(_) => {
                Ok(Some((planned, Standing::Resize(first))))
            }
            // Its own instance stays until the others can go.
            Room::Wait(scope) => Ok(Some((planned, Standing::Swap(scope)))),
            Room::Blocked(why) => Err(self.beside(state, line, arrival, why)),
        }
    }

    /// What the end of a load says of how much there may be; gives whether those who waited for it
    /// may wait for a smaller one.
    pub(super) fn note_failed_growth(
        &mut self,
        order: &Order,
        failure: &LoadFailure,
        now: Instant,
    ) -> bool {
        let (Some(words), Some(context)) = (failure.may_be_memory(), order.tuple.context) else {
            return false;
        };
        let Some(state) = self.engine(&order.engine) else {
            return false;
        };
        let place = state.place(&order.model);
        let loads_smaller = self.marks.get(&place).is_some_and(|m| m.context > 0);
        let to_spare = order.needed.is_some_and(|needed| needed < context);
        if !loads_smaller && !to_spare && matches!(failure, LoadFailure::Refused(_)) {
            return false;
        }
        if order
            .configured
            .is_none_or(|configured| context <= configured)
        {
            return false;
        }
        let (kind, max) = (
            state.facts.kind,
            self.size_of(&state.facts, &order.model).max(),
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
        let ceiling = Ceiling::new(most, beside, words, now);
        self.marks.entry(place).or_default().refused = Some(ceiling);
        true
    }

    /// A model of that pool went: what did not fit beside it may fit now.
    pub(super) fn forget_refused_growth(&mut self, pool: &str, gone: &str) {
        let engines = &self.engines;
        for ((engine, model), mark) in &mut self.marks {
            let of_pool = |e: &EngineState| e.facts.name == *engine && *e.facts.pool == *pool;
            if **model != *gone
                && mark.refused.as_ref().is_some_and(|c| c.beside_others)
                && engines.iter().any(of_pool)
            {
                mark.refused = None;
            }
        }
    }
}

/// The engine had no memory for a context that holds this prompt.
fn out_of_memory(arrival: &Arrival, ceiling: &Ceiling) -> Refusal {
    Refusal::LoadFailed {
        engine: Arc::clone(&arrival.engine),
        model: Arc::clone(&arrival.name),
        message: format!(
            "a prompt of about {} tokens needs more context than it has memory for: {}",
            arrival.prompt, ceiling.words
        ),
        retry_after: RETRY_AFTER,
    }
}
