//! The turn of an answer: its single step, and the number of steps in a row before other streams have their turn.

use crate::error::Error;

/// The number of ready frames in a row after which other streams get their turn.
pub(super) const TURN: u32 = 16;

/// The result of polling the engine once.
pub(super) enum Step {
    /// More bytes came, or a heartbeat was due.
    Moved,
    /// The answer ended, properly or with an error.
    Ended(Result<(), Error>),
}
