//! Memory of a pool: whether a load fits, and which model makes room.
//!
//! The victim is the idle model with the largest `idle time / time to load it again`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    model_queue::ModelQueue,
    resident_match::LimitScope,
    state::{EngineState, OperationKind, Resident, Scheduler},
    wait_estimate::UNMEASURED_LOAD,
};
use crate::{
    catalog::ModelKind,
    refusal::{ContextBound, Refusal},
    scheduler::messages::{EngineFacts, PermitRequest},
};

/// Whether a load fits its pool.
pub(super) enum MemoryFit {
    /// It does, or nothing is known.
    Fits,
    /// It is more than the budget by itself, and nothing else is there that could go.
    FitsAlone,
    /// When something idle goes.
    AfterEviction(LimitScope),
    /// When something busy has become idle and goes.
    AfterDrain(LimitScope),
    /// What is there may not go.
    Blocked(MemoryBlocker),
}

/// What is in the way.
pub(super) struct MemoryBlocker {
    model: Arc<str>,
    pinned: bool,
    bytes: u64,
    budget: u64,
}

/// What a limit counts.
struct PoolUsage {
    used: u64,
    idle: u64,
    evictable: u64,
    /// A load is in flight, or nobody knows yet what became of one.
    in_transition: bool,
}

// === impl Blocked ===

impl MemoryBlocker {
    /// Why a model cannot have more context while that stays pinned.
    pub(super) fn bound(&self, pool: &Arc<str>) -> Option<ContextBound> {
        self.pinned.then(|| ContextBound::Pinned {
            pool: Arc::clone(pool),
            model: Arc::clone(&self.model),
            bytes: self.bytes,
            budget: self.budget,
        })
    }

    pub(super) fn refusal(self, request: &PermitRequest) -> Refusal {
        let (engine, model) = (Arc::clone(&request.engine), Arc::clone(&request.name));
        if !self.pinned {
            return Refusal::Blocked {
                engine,
                model,
                blocker: self.model,
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
    fn in_scope(scope: LimitScope, of: &EngineFacts, other: &EngineFacts) -> bool {
        match scope {
            LimitScope::EngineModels => of.name == other.name,
            LimitScope::PoolMemory => of.pool == other.pool,
            LimitScope::SharedMemory => other.shared_budget.is_some(),
        }
    }

    /// The smallest budget that an engine of that scope is told.
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

    /// Bytes in that scope of what may not go, but for that model of this engine.
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

    /// Whether `need` bytes fit beside all but that instance.
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
                model: Arc::clone(resident.info.name(state.facts.kind)),
                pinned: resident.pinned,
                bytes: resident.bytes,
                budget,
            }),
            None => MemoryFit::AfterDrain(scope),
        }
    }

    /// Whether a resident of `other` is what a swap of that scope waits for.
    pub(super) fn is_candidate_for(
        scope: LimitScope,
        of: &EngineState,
        other: &EngineState,
        resident: &Resident,
    ) -> bool {
        let counts =
            scope != LimitScope::EngineModels || resident.info.kind == ModelKind::Generation;
        Self::in_scope(scope, &of.facts, &other.facts) && counts && other.is_evictable(resident)
    }

    /// What goes first for that line, as engine and resident; `None` while all of it is busy, or held
    /// (`held`: what is held stays). Never an instance of its model, for which room is made.
    pub(super) fn choose_victim(
        &self,
        scope: LimitScope,
        of: usize,
        queue: &ModelQueue,
        held: bool,
        now: Instant,
    ) -> Option<(usize, usize)> {
        let of = &self.engines[of];
        let mut best: Option<(f64, Instant, (usize, usize))> = None;
        for (e, state) in self.engines.iter().enumerate() {
            for (r, resident) in state.residents.iter().enumerate() {
                let own = of.facts.name == state.facts.name && resident.info.model == queue.model;
                let useful = !own && (scope == LimitScope::EngineModels || resident.bytes > 0);
                if !useful
                    || !resident.can_unload_now(now)
                    || !Self::is_candidate_for(scope, of, state, resident)
                {
                    continue;
                }
                if held && self.is_lingering(of, queue, state, resident, now) {
                    continue;
                }
                let spare = self.eviction_score(state, resident, now);
                let better = best.is_none_or(|(most, since, _)| {
                    spare > most || spare >= most && resident.idle_since < since
                });
                if better {
                    best = Some((spare, resident.idle_since, (e, r)));
                }
            }
        }
        best.map(|(.., at)| at)
    }

    /// Idle time in units of the time to load it again: the largest is missed least.
    fn eviction_score(&self, state: &EngineState, resident: &Resident, now: Instant) -> f64 {
        let idle = now.saturating_duration_since(resident.idle_since);
        let again = self
            .load_time(&state.facts.name, &resident.info.model)
            .unwrap_or(UNMEASURED_LOAD);
        let again = again.clamp(Duration::from_millis(500), Duration::from_mins(5));
        idle.as_secs_f64() / again.as_secs_f64()
    }
}
