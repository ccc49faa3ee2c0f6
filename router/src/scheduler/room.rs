//! Memory of a pool: whether a load fits, and which model makes room.
//!
//! The victim is the idle model with the largest `idle time / time to load it again`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    estimate::UNMEASURED_LOAD,
    line::Line,
    standing::Scope,
    state::{EngineState, Resident, Scheduler, Work},
    types::{Arrival, Facts},
};
use crate::{
    catalog::ModelKind,
    refusal::{ContextBound, Refusal},
};

/// Whether a load fits its pool.
pub(super) enum Room {
    /// It does, or nothing is known.
    Fits,
    /// It is more than the budget by itself, and nothing else is there that could go.
    Alone,
    /// When something idle goes.
    Evict(Scope),
    /// When something busy has become idle and goes.
    Wait(Scope),
    /// What is there may not go.
    Blocked(Blocked),
}

/// What is in the way.
pub(super) struct Blocked {
    model: Arc<str>,
    pinned: bool,
    bytes: u64,
    budget: u64,
}

/// What a limit counts.
struct Load {
    used: u64,
    idle: u64,
    all: u64,
    /// A load is in flight, or nobody knows yet what became of one.
    moving: bool,
}

// === impl Blocked ===

impl Blocked {
    /// Why a model cannot have more context while that stays pinned.
    pub(super) fn bound(&self, pool: &Arc<str>) -> Option<ContextBound> {
        self.pinned.then(|| ContextBound::Pinned {
            pool: Arc::clone(pool),
            model: Arc::clone(&self.model),
            bytes: self.bytes,
            budget: self.budget,
        })
    }

    pub(super) fn refusal(self, arrival: &Arrival) -> Refusal {
        let (engine, model) = (Arc::clone(&arrival.engine), Arc::clone(&arrival.name));
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
    fn within(scope: Scope, of: &Facts, other: &Facts) -> bool {
        match scope {
            Scope::Engine => of.name == other.name,
            Scope::Pool => of.pool == other.pool,
            Scope::Parent => other.parent.is_some(),
        }
    }

    /// The smallest budget that an engine of that scope is told.
    pub(super) fn budget(&self, scope: Scope, of: &Facts) -> Option<u64> {
        let told = |facts: &Facts| match scope {
            Scope::Engine => None,
            Scope::Pool => facts.budget,
            Scope::Parent => facts.parent,
        };
        let engines = self.engines.iter().map(|e| &e.facts);
        engines
            .filter(|facts| Self::within(scope, of, facts))
            .filter_map(told)
            .min()
    }

    fn load(&self, scope: Scope, of: &Facts, but: Option<&str>, now: Instant) -> Load {
        let mut load = Load {
            used: 0,
            idle: 0,
            all: 0,
            moving: false,
        };
        for state in &self.engines {
            if !Self::within(scope, of, &state.facts) {
                continue;
            }
            let given_up = state.given_up();
            load.used = load.used.saturating_add(given_up);
            // The next list of its engine tells.
            load.moving |= given_up > 0;
            let own = state.facts.name == of.name;
            let kept = |r: &&Resident| !own || but.is_none_or(|but| *r.info.instance != *but);
            for resident in state.residents.iter().filter(kept) {
                load.used = load.used.saturating_add(resident.bytes);
                if state.evictable(resident) {
                    load.all = load.all.saturating_add(resident.bytes);
                    if resident.may_go(now) {
                        load.idle = load.idle.saturating_add(resident.bytes);
                    }
                }
                // It is granted first, and may go then.
                load.moving |= state.is_fresh(resident);
            }
        }
        for operation in self.operations.values() {
            let inside = self.facts(&operation.engine);
            if inside.is_some_and(|facts| Self::within(scope, of, facts)) {
                load.used = load.used.saturating_add(operation.bytes);
                load.moving |= matches!(operation.work, Work::Load(_));
            }
        }
        load
    }

    /// Bytes in that scope of what may not go, but for that model of this engine.
    pub(super) fn stays(&self, scope: Scope, of: &EngineState, but: &str) -> u64 {
        let engines = self.engines.iter();
        let within = engines.filter(|e| Self::within(scope, &of.facts, &e.facts));
        let residents = within.flat_map(|e| e.residents.iter().map(move |r| (e, r)));
        let stays = residents.filter(|(e, r)| {
            let own = e.facts.name == of.facts.name && *r.info.model == *but;
            !own && !e.evictable(r) && !e.is_fresh(r)
        });
        stays.map(|(_, r)| r.bytes).fold(0, u64::saturating_add)
    }

    /// Whether `need` bytes fit beside all but that instance.
    pub(super) fn room(
        &self,
        state: &EngineState,
        need: Option<u64>,
        but: Option<&str>,
        now: Instant,
    ) -> Room {
        let mut worst = Room::Fits;
        let Some(need) = need else {
            return worst;
        };
        for scope in [Scope::Pool, Scope::Parent] {
            if scope == Scope::Parent && state.facts.parent.is_none() {
                continue;
            }
            let Some(budget) = self.budget_now(scope, &state.facts) else {
                continue;
            };
            let load = self.load(scope, &state.facts, but, now);
            let short = load.used.saturating_add(need).saturating_sub(budget);
            if short == 0 {
                continue;
            }
            let alone = need > budget;
            let stays = load.used.saturating_sub(load.all);
            match () {
                () if !alone && load.idle >= short => {}
                () if !alone && load.all >= short || load.moving => return Room::Wait(scope),
                () if alone && stays == 0 && load.all == 0 => {
                    worst = Room::Alone;
                    continue;
                }
                () if alone && stays == 0 && load.idle < load.all => return Room::Wait(scope),
                () if alone && stays == 0 => {}
                () => return self.blocker(scope, &state.facts, but, budget),
            }
            worst = Room::Evict(scope);
        }
        worst
    }

    fn blocker(&self, scope: Scope, of: &Facts, but: Option<&str>, budget: u64) -> Room {
        let engines = self.engines.iter();
        let largest = engines
            .filter(|e| Self::within(scope, of, &e.facts))
            .flat_map(|e| e.residents.iter().map(move |r| (e, r)))
            .filter(|(e, r)| {
                let own = e.facts.name == of.name && but == Some(&*r.info.instance);
                !own && !e.evictable(r)
            })
            .max_by_key(|(_, r)| r.bytes);
        match largest {
            Some((state, resident)) => Room::Blocked(Blocked {
                model: Arc::clone(resident.info.name(state.facts.kind)),
                pinned: resident.pinned,
                bytes: resident.bytes,
                budget,
            }),
            None => Room::Wait(scope),
        }
    }

    /// Whether a resident of `other` is what a swap of that scope waits for.
    pub(super) fn waits_for(
        scope: Scope,
        of: &EngineState,
        other: &EngineState,
        resident: &Resident,
    ) -> bool {
        let counts = scope != Scope::Engine || resident.info.kind == ModelKind::Generation;
        Self::within(scope, &of.facts, &other.facts) && counts && other.evictable(resident)
    }

    /// What goes first for that line, as engine and resident; `None` while all of it is busy, or held
    /// (`held`: what is held stays). Never an instance of its model, for which room is made.
    pub(super) fn victim(
        &self,
        scope: Scope,
        of: usize,
        line: &Line,
        held: bool,
        now: Instant,
    ) -> Option<(usize, usize)> {
        let of = &self.engines[of];
        let mut best: Option<(f64, Instant, (usize, usize))> = None;
        for (e, state) in self.engines.iter().enumerate() {
            for (r, resident) in state.residents.iter().enumerate() {
                let own = of.facts.name == state.facts.name && resident.info.model == line.model;
                let useful = !own && (scope == Scope::Engine || resident.bytes > 0);
                if !useful || !resident.may_go(now) || !Self::waits_for(scope, of, state, resident)
                {
                    continue;
                }
                if held && self.is_held(of, line, state, resident, now) {
                    continue;
                }
                let spare = self.worth(state, resident, now);
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
    fn worth(&self, state: &EngineState, resident: &Resident, now: Instant) -> f64 {
        let idle = now.saturating_duration_since(resident.idle_since);
        let again = self
            .load_time(&state.facts.name, &resident.info.model)
            .unwrap_or(UNMEASURED_LOAD);
        let again = again.clamp(Duration::from_millis(500), Duration::from_mins(5));
        idle.as_secs_f64() / again.as_secs_f64()
    }
}
