//! The memory of a pool: whether a load fits beside everything else that is there.

use std::{sync::Arc, time::Instant};

use super::{
    engine_state::EngineState, limit_scope::LimitScope, pool_operation::OperationKind,
    resident::Resident, state::Scheduler,
};
use crate::{
    catalog::ModelKind,
    refusal::{ContextBound, Refusal},
    scheduler::messages::{EngineFacts, PermitRequest},
};

/// The answer to the question whether a load fits the memory of its pool.
pub(super) enum MemoryFit {
    /// The load fits, or its size or the budget is not known.
    Fits,
    /// The load exceeds the budget by itself; nothing else is loaded that could be unloaded, so it
    /// may be tried.
    FitsAlone,
    /// The load fits when something idle of this scope is unloaded.
    AfterEviction(LimitScope),
    /// The load fits when something busy of this scope has become idle and is unloaded.
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
    /// The reason why it stays.
    stays: StayReason,
    /// The bytes that it takes.
    bytes: u64,
    /// The bytes of the budget that it is in the way in.
    budget: u64,
}

/// The reason why a resident is not unloaded for a load.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StayReason {
    /// The resident is pinned.
    Pinned,
    /// A person loaded it.
    Foreign,
    /// The resident generates text, and the load is that of an embedding model.
    Generates,
}

/// The load whose room is looked for: its engine, the kind of its model, and the instance that it
/// replaces, if there is one.
#[derive(Clone, Copy)]
struct WantedLoad<'a> {
    of: &'a EngineFacts,
    kind: ModelKind,
    but: Option<&'a str>,
}

/// The memory in use within a scope, in bytes.
struct PoolUsage {
    /// The bytes of all residents, of loads in flight, and of loads that were given up.
    used: u64,
    /// The bytes of evictable residents that may be unloaded now.
    idle: u64,
    /// The bytes of evictable residents, busy ones included.
    evictable: u64,
    /// Whether the numbers are about to change: a load is in flight, or its outcome is not known.
    in_transition: bool,
}

// === impl MemoryBlocker ===

impl MemoryBlocker {
    /// The reason why a model cannot have more context while the blocker stays pinned; `None` where
    /// it is not pinned.
    pub(super) fn bound(&self, pool: &Arc<str>) -> Option<ContextBound> {
        (self.stays == StayReason::Pinned).then(|| ContextBound::Pinned {
            pool: Arc::clone(pool),
            model: Arc::clone(&self.model),
            bytes: self.bytes,
            budget: self.budget,
        })
    }

    /// The refusal of a request for a model that does not fit beside it.
    pub(super) fn refusal(self, request: &PermitRequest, pool: &Arc<str>) -> Refusal {
        let (engine, model) = (Arc::clone(&request.engine), Arc::clone(&request.name));
        match self.stays {
            StayReason::Pinned => {}
            StayReason::Foreign => {
                return Refusal::Blocked {
                    engine,
                    model,
                    blocker: self.model,
                    blocker_engine: self.engine,
                    retry_after: 30,
                };
            }
            StayReason::Generates => {
                return Refusal::NoRoomForEmbedding {
                    engine,
                    model,
                    pool: Arc::clone(pool),
                    blocker: self.model,
                    retry_after: 30,
                };
            }
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

// === impl EngineState ===

impl EngineState {
    /// Whether a resident may be unloaded to make room for a model of this kind, once it is idle. Vectors
    /// are made in the background of a conversation, which must not lose its model to them.
    pub(super) fn gives_way(&self, resident: &Resident, kind: ModelKind) -> bool {
        let spared = kind == ModelKind::Embedding && resident.info.kind == ModelKind::Generation;
        !spared && self.is_evictable(resident)
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

    /// The memory in use within a scope, without the instance that the load replaces.
    fn pool_usage(&self, scope: LimitScope, wanted: WantedLoad<'_>, now: Instant) -> PoolUsage {
        let WantedLoad { of, kind, but } = wanted;
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
                if state.gives_way(resident, kind) {
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

    /// Returns the bytes in the scope of residents that may not be unloaded, without those of the
    /// model `but` of this engine.
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

    /// Whether `need` bytes of a model of this kind fit beside everything but one instance of this
    /// engine. An unknown need fits.
    pub(super) fn memory_fit(
        &self,
        state: &EngineState,
        kind: ModelKind,
        need: Option<u64>,
        but: Option<&str>,
        now: Instant,
    ) -> MemoryFit {
        let of = &state.facts;
        let wanted = WantedLoad { of, kind, but };
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
            let load = self.pool_usage(scope, wanted, now);
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
                () => return self.memory_blocker(scope, wanted, budget),
            }
            worst = MemoryFit::AfterEviction(scope);
        }
        worst
    }

    /// The blocker of a load that does not fit; where there is none, the load waits.
    fn memory_blocker(&self, scope: LimitScope, wanted: WantedLoad<'_>, budget: u64) -> MemoryFit {
        let WantedLoad { of, kind, but } = wanted;
        let engines = self.engines.iter();
        let largest = engines
            .filter(|e| Self::in_scope(scope, of, &e.facts))
            .flat_map(|e| e.residents.iter().map(move |r| (e, r)))
            .filter(|(e, r)| {
                let own = e.facts.name == of.name && but == Some(&*r.info.instance);
                !own && !e.gives_way(r, kind)
            })
            .max_by_key(|(_, r)| r.bytes);
        match largest {
            Some((state, resident)) => MemoryFit::Blocked(MemoryBlocker {
                engine: Arc::clone(&state.facts.name),
                model: Arc::clone(resident.info.name(state.facts.kind)),
                stays: match resident.pinned {
                    true => StayReason::Pinned,
                    false if state.is_evictable(resident) => StayReason::Generates,
                    false => StayReason::Foreign,
                },
                bytes: resident.bytes,
                budget,
            }),
            None => MemoryFit::AfterDrain(scope),
        }
    }
}
