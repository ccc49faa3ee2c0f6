//! Loads that were given up before their engine said how they ended.
//!
//! The engine may have taken any part of the memory. It counts as taken until the engine lists what
//! it holds.

use std::sync::Arc;

use super::{engine_state::EngineState, pool_operation::PoolOperation, state::Scheduler};

use crate::scheduler::messages::LoadFailure;

// === impl LoadFailure ===

impl LoadFailure {
    /// Whether the engine did not say itself how the load ended, so that it may still be at it.
    pub(super) const fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Timeout | Self::ConnectionLost(_))
    }
}

// === impl EngineState ===

impl EngineState {
    /// Returns the bytes that loads may take which were given up before the engine reported their
    /// end.
    pub(super) fn abandoned_bytes(&self) -> u64 {
        self.abandoned_loads
            .values()
            .fold(0, |sum, b| sum.saturating_add(*b))
    }

    /// Returns the bytes of the engine's residents, and of loads that were given up.
    pub(super) fn held_bytes(&self) -> u64 {
        let residents = self.residents.iter().map(|r| r.bytes);
        residents.fold(self.abandoned_bytes(), u64::saturating_add)
    }

    /// Counts the memory of a load whose outcome nobody knows.
    pub(super) fn count_abandoned_load(&mut self, operation: &PoolOperation) {
        if operation.bytes > 0 {
            let model = Arc::clone(&operation.model);
            self.abandoned_loads.insert(model, operation.bytes);
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Forgets the loads that were given up: the engine listed what it holds, or nobody listens at
    /// its address any more.
    pub(super) fn clear_abandoned_loads(&mut self, at: usize) {
        let state = &mut self.engines[at];
        if state.abandoned_loads.is_empty() {
            return;
        }
        state.abandoned_loads.clear();
        let pool = Arc::clone(&state.facts.pool);
        self.clear_memory_backoffs(&pool);
    }
}
