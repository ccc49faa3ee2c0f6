//! The one load or unload that is in flight in a pool.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::model_key::{Reservation, deadline_after};
use crate::{event::EvictionReason, scheduler::messages::LoadCommand};

/// The time that one unload may take.
pub(in crate::scheduler) const UNLOAD_BUDGET: Duration = Duration::from_mins(1);
/// The time after its timeout at which an operation that reports nothing counts as failed.
const GRACE: Duration = Duration::from_secs(10);

/// A load or unload that is in flight. Its pool starts no other one before it has ended.
pub(super) struct PoolOperation {
    /// The name of the engine that works on it.
    pub(super) engine: Arc<str>,
    /// The model by the name of its runner.
    pub(super) model: Arc<str>,
    /// The time at which it was ordered.
    pub(super) started: Instant,
    /// Whether its pool is exclusive, so that no other pool starts one either.
    pub(super) exclusive: bool,
    /// The work itself.
    pub(super) kind: OperationKind,
    /// The bytes that a load is expected to take; 0 for an unload.
    pub(super) bytes: u64,
    /// The polls of the engine when it was ordered.
    pub(super) polls_at_start: u64,
}

/// The work that an operation does in its pool: a load or an unload.
pub(super) enum OperationKind {
    /// The load of a model.
    Load(LoadCommand),
    /// The unload of one instance.
    Unload {
        instance: Arc<str>,
        reason: EvictionReason,
        /// The model that is to be loaded in its place.
        room_for: Option<Reservation>,
    },
}

// === impl PoolOperation ===

impl PoolOperation {
    /// Whether it unloads this instance.
    pub(super) fn is_unload_of(&self, instance: &str) -> bool {
        matches!(&self.kind, OperationKind::Unload { instance: i, .. } if **i == *instance)
    }

    /// The time at which it counts as failed if it reports nothing.
    pub(super) fn times_out_at(&self) -> Option<Instant> {
        let budget = match &self.kind {
            OperationKind::Load(order) => order.timeout,
            OperationKind::Unload { .. } => UNLOAD_BUDGET,
        };
        deadline_after(self.started, budget.saturating_add(GRACE))
    }
}
