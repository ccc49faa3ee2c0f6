//! Memory of loads that were given up without a word of the engine: it may have taken any part of it.

use std::sync::Arc;

use super::state::{EngineState, PoolOperation, Scheduler};

use crate::scheduler::messages::LoadFailure;

// === impl LoadFailure ===

impl LoadFailure {
    /// The engine did not say itself how it ended, so it may still be at it.
    pub(super) const fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Timeout | Self::ConnectionLost(_))
    }
}

// === impl EngineState ===

impl EngineState {
    /// Bytes that may be taken by loads that were given up.
    pub(super) fn abandoned_bytes(&self) -> u64 {
        self.abandoned_loads
            .values()
            .fold(0, |sum, b| sum.saturating_add(*b))
    }

    /// Bytes of what it holds, and of what it may hold of loads that were given up.
    pub(super) fn held_bytes(&self) -> u64 {
        let residents = self.residents.iter().map(|r| r.bytes);
        residents.fold(self.abandoned_bytes(), u64::saturating_add)
    }

    /// Counts a load that was given up for as long as nobody knows what became of it.
    pub(super) fn count_abandoned_load(&mut self, operation: &PoolOperation) {
        if operation.bytes > 0 {
            let model = Arc::clone(&operation.model);
            self.abandoned_loads.insert(model, operation.bytes);
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The engine told what it holds, or nobody listens there any more.
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
