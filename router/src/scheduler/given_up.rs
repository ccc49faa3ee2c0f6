//! Memory of loads that were given up without a word of the engine: it may have taken any part of it.

use std::sync::Arc;

use super::{
    state::{EngineState, Operation, Scheduler},
    types::LoadFailure,
};

// === impl LoadFailure ===

impl LoadFailure {
    /// The engine did not say itself how it ended, so it may still be at it.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Timeout | Self::Broken(_))
    }
}

// === impl EngineState ===

impl EngineState {
    /// Bytes that may be taken by loads that were given up.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
            .values()
            .fold(0, |sum, b| sum.saturating_add(*b))
    }

    /// Bytes of what it holds, and of what it may hold of loads that were given up.
    pub(super) fn held(&self) -> u64 {
        let residents = self.residents.iter().map(|r| r.bytes);
        residents.fold(self.given_up(), u64::saturating_add)
    }

    /// Counts a load that was given up for as long as nobody knows what became of it.
    pub(super) fn give_up(&mut self, operation: &Operation) {
        if operation.bytes > 0 {
            let model = Arc::clone(&operation.model);
            self.given_up.insert(model, operation.bytes);
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The engine told what it holds, or nobody listens there any more.
    pub(super) fn settle_given_up(&mut self, at: usize) {
        let state = &mut self.engines[at];
        if state.given_up.is_empty() {
            return;
        }
        state.given_up.clear();
        let pool = Arc::clone(&state.facts.pool);
        self.memory_came_free(&pool);
    }
}
