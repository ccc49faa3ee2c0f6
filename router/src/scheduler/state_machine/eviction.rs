//! The choice of the resident that makes room for a load.
//!
//! Of those that may go, it is the one with the largest `idle time / time to load it again`: the one
//! that is missed least. No embedding model takes the place of one that generates.

use std::time::{Duration, Instant};

use super::{
    engine_state::EngineState, limit_scope::LimitScope, model_queue::ModelQueue,
    resident::Resident, state::Scheduler, wait_estimate::UNMEASURED_LOAD,
};
use crate::catalog::ModelKind;

// === impl Scheduler ===

impl Scheduler {
    /// Whether a resident of `other` is one that a swap of this scope, for a model of this kind on the
    /// engine `of`, may unload.
    pub(super) fn is_candidate_for(
        scope: LimitScope,
        kind: ModelKind,
        of: &EngineState,
        other: &EngineState,
        resident: &Resident,
    ) -> bool {
        let counts =
            scope != LimitScope::EngineModels || resident.info.kind == ModelKind::Generation;
        Self::in_scope(scope, &of.facts, &other.facts) && counts && other.gives_way(resident, kind)
    }

    /// The resident that goes first for a queue, as the positions of its engine and of itself;
    /// `None` while everything is busy or lingers (`respects_lingers`). An instance of the queue's
    /// own model never goes.
    pub(super) fn choose_victim(
        &self,
        scope: LimitScope,
        of: usize,
        queue: &ModelQueue,
        respects_lingers: bool,
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
                    || !Self::is_candidate_for(scope, queue.kind, of, state, resident)
                {
                    continue;
                }
                if respects_lingers && self.is_lingering(of, queue, state, resident, now) {
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

    /// The idle time in units of the time to load it again: the largest is missed least.
    fn eviction_score(&self, state: &EngineState, resident: &Resident, now: Instant) -> f64 {
        let idle = now.saturating_duration_since(resident.idle_since);
        let again = self
            .load_time(&state.facts.name, &resident.info.model)
            .unwrap_or(UNMEASURED_LOAD);
        let again = again.clamp(Duration::from_millis(500), Duration::from_mins(5));
        idle.as_secs_f64() / again.as_secs_f64()
    }
}
