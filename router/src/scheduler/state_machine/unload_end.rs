//! The end of an unload, and of operations that never end.

use std::{sync::Arc, time::Instant};

use super::{
    load_failure::next_backoff,
    model_key::deadline_after,
    pool_operation::{OperationKind, PoolOperation},
    resident::UnloadBackoff,
    state::Scheduler,
};
use crate::scheduler::messages::{Action, LoadFailure};

// === impl Scheduler ===

impl Scheduler {
    /// Takes an unload as ended. If it is `gone`, the model for which it made room is loaded next; else
    /// the unload is tried again after a backoff.
    pub(super) fn unload_ended(
        &mut self,
        engine: &Arc<str>,
        gone: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let operation = self.engine_operation(engine);
        if !operation.is_some_and(|o| matches!(o.kind, OperationKind::Unload { .. })) {
            return;
        }
        let Some(operation) = self.finish_operation(engine) else {
            return;
        };
        self.note_gpu_operation(engine, now);
        let OperationKind::Unload {
            instance,
            reason,
            room_for,
        } = operation.kind
        else {
            return;
        };
        let Some(state) = self.engine_mut(engine) else {
            return;
        };
        let mut residents = state.residents.iter_mut();
        if let Some(resident) = residents.find(|r| r.info.instance == instance)
            && !gone
        {
            let delay = next_backoff(resident.unload_backoff.delay);
            resident.unload_backoff = UnloadBackoff {
                not_before: deadline_after(now, delay),
                delay,
            };
            return;
        }
        let name = if state.facts.kind.profile().residents.named_by_load {
            &instance
        } else {
            &operation.model
        };
        let event = Action::evicted(engine, name, reason);
        state.residents.retain(|r| r.info.instance != instance);
        let pool = Arc::clone(&state.facts.pool);
        self.revision += 1;
        self.clear_memory_backoffs(&pool);
        self.clear_memory_ceilings(&pool, &operation.model);
        if let Some(reservation) = room_for
            && let Some(facts) = self.facts(&reservation.0.0)
        {
            let pool = Arc::clone(&facts.pool);
            self.reservations.insert(pool, reservation);
        }
        actions.push(event);
    }

    /// Takes operations as failed that say nothing long after their timeout, so that they bar their
    /// pool no longer.
    pub(super) fn expire_operations(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let over = |o: &&PoolOperation| o.times_out_at().is_some_and(|at| at <= now);
        while let Some(operation) = self.operations.values().find(over) {
            let engine = Arc::clone(&operation.engine);
            match operation.kind {
                OperationKind::Load(_) => {
                    self.load_failed(&engine, &LoadFailure::Timeout, now, actions);
                }
                OperationKind::Unload { .. } => self.unload_ended(&engine, false, now, actions),
            }
        }
    }
}
