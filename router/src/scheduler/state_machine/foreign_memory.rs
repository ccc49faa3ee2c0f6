//! Memory of the graphics cards that other programs hold: a desktop, a game.
//!
//! It is theirs, so that a pool may have no more than what is free and what models hold already. It
//! is computed when the cards were read while nothing was being loaded or unloaded, and kept until
//! the next such reading: in between, an engine's memory comes and goes before the engine reports
//! it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    engine_state::EngineState,
    limit_scope::LimitScope,
    state::{ForeignMemory, Scheduler},
};

use crate::scheduler::messages::{EngineFacts, GpuMemory};

/// The time within which an engine gives memory back after it said that a model was unloaded.
const SETTLE_TIME: Duration = Duration::from_secs(2);

// === impl Scheduler ===

impl Scheduler {
    /// Takes the last reading of the cards, if it was made while no memory moved.
    pub(super) fn update_foreign_memory(&mut self) {
        let here = || self.engines.iter().filter(|e| e.facts.gpu_memory.is_some());
        let Some(cards) = here().find_map(|e| e.facts.gpu_memory) else {
            self.foreign_memory = None;
            return;
        };
        let busy = self.operations.values().any(|o| {
            let facts = self.facts(&o.engine);
            facts.is_some_and(|facts| facts.gpu_memory.is_some())
        });
        let open = here().any(|e| e.abandoned_bytes() > 0);
        let early = self
            .gpu_operation_ended
            .is_some_and(|at| cards.read_at < at + SETTLE_TIME);
        if busy || open || early {
            return;
        }
        let ours = here()
            .map(EngineState::held_bytes)
            .fold(0, u64::saturating_add);
        let GpuMemory { total, free, .. } = cards;
        let held = total.saturating_sub(free).saturating_sub(ours);
        self.foreign_memory = Some(ForeignMemory {
            card_total: total,
            foreign_bytes: held,
        });
    }

    /// Notes that an operation of this engine ended: free memory is not meaningful for a moment.
    pub(super) fn note_gpu_operation(&mut self, engine: &str, now: Instant) {
        if self
            .facts(engine)
            .is_some_and(|facts| facts.gpu_memory.is_some())
        {
            self.gpu_operation_ended = Some(now);
        }
    }

    /// Returns the bytes of the cards that other programs hold, for an engine that computes there.
    pub(super) fn foreign_bytes(&self, of: &EngineFacts) -> Option<u64> {
        of.gpu_memory?;
        Some(self.foreign_memory?.foreign_bytes)
    }

    /// The budget of a scope at this moment: no more than what is free together with what its
    /// models hold. A budget larger than all cards is of other memory, as that of a processor's own
    /// graphics, and stays as it is.
    pub(super) fn effective_budget(&self, scope: LimitScope, of: &EngineFacts) -> Option<u64> {
        let budget = self.configured_budget(scope, of)?;
        let (LimitScope::PoolMemory, Some(_), Some(others)) =
            (scope, of.gpu_memory, self.foreign_memory)
        else {
            return Some(budget);
        };
        if budget > others.card_total {
            return Some(budget);
        }
        let elsewhere = self.engines.iter().filter(|e| {
            e.facts.gpu_memory.is_some()
                && !Arc::ptr_eq(&e.facts.pool, &of.pool)
                && e.facts.pool != of.pool
        });
        let elsewhere = elsewhere
            .map(EngineState::held_bytes)
            .fold(0, u64::saturating_add);
        let left = others
            .card_total
            .saturating_sub(others.foreign_bytes)
            .saturating_sub(elsewhere);
        Some(budget.min(left))
    }
}
