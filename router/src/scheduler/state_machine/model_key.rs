//! Keys and small helpers that the files of the state machine share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::catalog::ModelKind;

/// A model on an engine: the name of the engine, and the model by the name of its runner.
pub(super) type ModelKey = (Arc<str>, Arc<str>);
/// A model for which room was made, and the variant of its load options.
pub(super) type Reservation = (ModelKey, u64);

/// The time `wait` after `at`; `None` where that is beyond every clock, so that it never comes.
pub(super) fn deadline_after(at: Instant, wait: Duration) -> Option<Instant> {
    at.checked_add(wait)
}

/// The index of a kind of models in counts that are kept for both: 0 for generation, 1 for
/// embeddings.
pub(super) const fn lane_index(kind: ModelKind) -> usize {
    match kind {
        ModelKind::Generation => 0,
        ModelKind::Embedding => 1,
    }
}

/// The position of a queue: that of its engine, and its own among the queues of the engine. It is valid
/// until a queue is removed, so never beyond the step that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuePosition {
    /// The position of the engine.
    pub(super) engine: usize,
    /// The position of the queue among those of the engine.
    pub(super) queue: usize,
}
