//! Residents that are Crucible's own although no listing of a configured engine shows them.

use std::time::Instant;

use crate::{engine::LoadTuple, scheduler::persisted::OwnedResident};

/// A resident of an engine that is configured no more, while answers are still given by it.
pub(super) struct DetachedResident {
    /// The resident, with the address of its engine.
    pub(super) resident: OwnedResident,
    /// The permits of those answers.
    pub(super) tickets: Vec<u64>,
}

/// The load of a resident that vanished while it was used or just after. The engine may load it
/// again by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostResident {
    /// The options that Crucible had loaded it with.
    pub(super) tuple: LoadTuple,
    /// The tokens of context that it had.
    pub(super) context: u64,
    /// The time at which a poll first missed it.
    pub(super) lost_at: Instant,
}
