//! What other programs hold of the graphics cards: a desktop, a game. It is theirs, so a pool may have
//! no more than what is free and what models hold already.
//!
//! It is reckoned when the cards were read while nothing was being loaded or unloaded, and kept until the
//! next such reading: in between, an engine's memory comes and goes before it is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    resident_match::LimitScope,
    state::{EngineState, Scheduler},
};

use crate::scheduler::messages::{EngineFacts, GpuMemory};

/// An engine gives memory back some time after it said that a model was unloaded.
const SETTLES: Duration = Duration::from_secs(2);

/// The cards of the machine, and what others hold of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignMemory {
    /// Bytes of all cards.
    card_total: u64,
    /// Bytes that are neither free nor held by a model that is known.
    foreign_bytes: u64,
}

// === impl Scheduler ===

impl Scheduler {
    /// Takes what was read of the cards.
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
            .is_some_and(|at| cards.read_at < at + SETTLES);
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

    /// An operation of that engine ended: what is free settles from now on.
    pub(super) fn note_gpu_operation(&mut self, engine: &str, now: Instant) {
        if self
            .facts(engine)
            .is_some_and(|facts| facts.gpu_memory.is_some())
        {
            self.gpu_operation_ended = Some(now);
        }
    }

    /// Bytes of the cards that other programs hold, for an engine that computes there.
    pub(super) fn foreign_bytes(&self, of: &EngineFacts) -> Option<u64> {
        of.gpu_memory?;
        Some(self.foreign_memory?.foreign_bytes)
    }

    /// The budget of a scope at this moment: no more than is free and what its models hold. A budget
    /// that is more than all cards have is of other memory, as that of a processor's own graphics.
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
