//! The memory of a pool: whether a load fits beside everything else that is there.

use std::{sync::Arc, time::Instant};

use super::{
    engine_state::EngineState, limit_scope::LimitScope, pool_operation::OperationKind,
    resident::Resident, state::Scheduler,
};
use crate::{
    refusal::{ContextBound, Refusal},
    scheduler::messages::{EngineFacts, PermitRequest},
};

/// The answer to the question whether a load fits the memory of its pool.
pub(super) enum MemoryFit {
    /// It fits, or its size or the budget is not known.
    Fits,
    /// It exceeds the budget by itself; nothing else is loaded that could go, so it may try.
    FitsAlone,
    /// It fits when something idle of this scope is unloaded.
    AfterEviction(LimitScope),
    /// It fits when something busy of this scope has become idle and is unloaded.
    AfterDrain(LimitScope),
    /// Something that may not be unloaded is in the way.
    Blocked(MemoryBlocker),
}

/// The largest resident that is in the way of a load and may not be unloaded.
pub(super) struct MemoryBlocker {
    /// The name of the engine that has it.
    engine: Arc<str>,
    /// The name of its model.
    model: Arc<str>,
    /// Whether it is pinned; else it is foreign.
    pinned: bool,
    /// Bytes that it takes.
    bytes: u64,
    /// Bytes of the budget that it is in the way in.
    budget: u64,
}

/// The memory in use within a scope, in bytes.
struct PoolUsage {
    /// Bytes of all residents, of loads in flight, and of loads that were given up.
    used: u64,
    /// Bytes of evictable residents that may be unloaded now.
    idle: u64,
    /// Bytes of evictable residents, busy ones included.
    evictable: u64,
    /// Whether the numbers are about to change: a load is in flight, or its outcome is not known.
    in_transition: bool,
}

// === impl MemoryBlocker ===

impl MemoryBlocker {
    /// The reason why a model cannot have more context while the blocker stays pinned; `None` where
    /// it is not pinned.
    pub(super) fn bound(&self, pool: &Arc<str>) -> Option<ContextBound> {
        self.pinned.then(|| ContextBound::Pinned {
            pool: Arc::clone(pool),
            model: Arc::clone(&self.model),
            bytes: self.bytes,
            budget: self.budget,
        })
    }

    /// The refusal of a request for a model that does not fit beside it.
    pub(super) fn refusal(self, request: &PermitRequest) -> Refusal {
        let (engine, model) = (Arc::clone(&request.engine), Arc::clone(&request.name));
        if !self.pinned {
            return Refusal::Blocked {
                engine,
                model,
                blocker: self.model,
                blocker_engine: self.engine,
                retry_after: 30,
            };
        }
        let message = format!(
            "it does not fit beside '{}', which is pinned and takes {} MB of a budget of {} MB; \
             raise `[pool] budget` or unpin it",
            self.model,
            self.bytes / 1_000_000,
            self.budget / 1_000_000,
        );
        Refusal::LoadFailed {
            engine,
            model,
            message,
            retry_after: 60,
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Whether an engine belongs to the scope of another one.
    pub(super) fn in_scope(scope: LimitScope, of: &EngineFacts, other: &EngineFacts) -> bool {
        match scope {
            LimitScope::EngineModels => of.name == other.name,
            LimitScope::PoolMemory => of.pool == other.pool,
            LimitScope::SharedMemory => other.shared_budget.is_some(),
        }
    }

    /// The smallest budget in bytes that an engine of the scope has; `None` where none has one.
    pub(super) fn configured_budget(&self, scope: LimitScope, of: &EngineFacts) -> Option<u64> {
        let told = |facts: &EngineFacts| match scope {
            LimitScope::EngineModels => None,
            LimitScope::PoolMemory => facts.pool_budget,
            LimitScope::SharedMemory => facts.shared_budget,
        };
        let engines = self.engines.iter().map(|e| &e.facts);
        engines
            .filter(|facts| Self::in_scope(scope, of, facts))
            .filter_map(told)
            .min()
    }

    /// The memory in use within a scope, without the instance `but` of this engine.
    fn pool_usage(
        &self,
        scope: LimitScope,
        of: &EngineFacts,
        but: Option<&str>,
        now: Instant,
    ) -> PoolUsage {
        let mut load = PoolUsage {
            used: 0,
            idle: 0,
            evictable: 0,
            in_transition: false,
        };
        for state in &self.engines {
            if !Self::in_scope(scope, of, &state.facts) {
                continue;
            }
            let given_up = state.abandoned_bytes();
            load.used = load.used.saturating_add(given_up);
            // The next list of its engine tells.
            load.in_transition |= given_up > 0;
            let own = state.facts.name == of.name;
            let kept = |r: &&Resident| !own || but.is_none_or(|but| *r.info.instance != *but);
            for resident in state.residents.iter().filter(kept) {
                load.used = load.used.saturating_add(resident.bytes);
                if state.is_evictable(resident) {
                    load.evictable = load.evictable.saturating_add(resident.bytes);
                    if resident.can_unload_now(now) {
                        load.idle = load.idle.saturating_add(resident.bytes);
                    }
                }
                // It is granted first, and may go then.
                load.in_transition |= state.awaits_first_grant(resident);
            }
        }
        for operation in self.operations.values() {
            let inside = self.facts(&operation.engine);
            if inside.is_some_and(|facts| Self::in_scope(scope, of, facts)) {
                load.used = load.used.saturating_add(operation.bytes);
                load.in_transition |= matches!(operation.kind, OperationKind::Load(_));
            }
        }
        load
    }

    /// Bytes in the scope of residents that may not be unloaded, without those of the model `but`
    /// of this engine.
    pub(super) fn unevictable_bytes(&self, scope: LimitScope, of: &EngineState, but: &str) -> u64 {
        let engines = self.engines.iter();
        let within = engines.filter(|e| Self::in_scope(scope, &of.facts, &e.facts));
        let residents = within.flat_map(|e| e.residents.iter().map(move |r| (e, r)));
        let stays = residents.filter(|(e, r)| {
            let own = e.facts.name == of.facts.name && *r.info.model == *but;
            !own && !e.is_evictable(r) && !e.awaits_first_grant(r)
        });
        stays.map(|(_, r)| r.bytes).fold(0, u64::saturating_add)
    }

    /// Whether `need` bytes fit beside everything but one instance of this engine. An unknown need
    /// fits.
    pub(super) fn memory_fit(
        &self,
        state: &EngineState,
        need: Option<u64>,
        but: Option<&str>,
        now: Instant,
    ) -> MemoryFit {
        let mut worst = MemoryFit::Fits;
        let Some(need) = need else {
            return worst;
        };
        for scope in [LimitScope::PoolMemory, LimitScope::SharedMemory] {
            if scope == LimitScope::SharedMemory && state.facts.shared_budget.is_none() {
                continue;
            }
            let Some(budget) = self.effective_budget(scope, &state.facts) else {
                continue;
            };
            let load = self.pool_usage(scope, &state.facts, but, now);
            let short = load.used.saturating_add(need).saturating_sub(budget);
            if short == 0 {
                continue;
            }
            let alone = need > budget;
            let stays = load.used.saturating_sub(load.evictable);
            match () {
                () if !alone && load.idle >= short => {}
                () if !alone && load.evictable >= short || load.in_transition => {
                    return MemoryFit::AfterDrain(scope);
                }
                () if alone && stays == 0 && load.evictable == 0 => {
                    worst = MemoryFit::FitsAlone;
                    continue;
                }
                () if alone && stays == 0 && load.idle < load.evictable => {
                    return MemoryFit::AfterDrain(scope);
                }
                () if alone && stays == 0 => {}
                () => return self.memory_blocker(scope, &state.facts, but, budget),
            }
            worst = MemoryFit::AfterEviction(scope);
        }
        worst
    }

    /// The blocker of a load that does not fit; where there is none, the load waits.
    fn memory_blocker(
        &self,
        scope: LimitScope,
        of: &EngineFacts,
        but: Option<&str>,
        budget: u64,
    ) -> MemoryFit {
        let engines = self.engines.iter();
        let largest = engines
            .filter(|e| Self::in_scope(scope, of, &e.facts))
            .flat_map(|e| e.residents.iter().map(move |r| (e, r)))
            .filter(|(e, r)| {
                let own = e.facts.name == of.name && but == Some(&*r.info.instance);
                !own && !e.is_evictable(r)
            })
            .max_by_key(|(_, r)| r.bytes);
        match largest {
            Some((state, resident)) => MemoryFit::Blocked(MemoryBlocker {
                engine: Arc::clone(&state.facts.name),
                model: Arc::clone(resident.info.name(state.facts.kind)),
                pinned: resident.pinned,
                bytes: resident.bytes,
                budget,
            }),
            None => MemoryFit::AfterDrain(scope),
        }
    }
}
