//! What is told about faults beyond the 39 settings.

use serde::Serialize;

/// Something that a person should know. It makes no setting wrong by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The name of the engine.
    pub engine: String,
    /// The name of the fault, from the table of faults.
    pub fault: &'static str,
    /// The state that Crucible relies on or asks for.
    pub asked: String,
    /// The state that was found.
    pub found: String,
    /// The source that it was read from.
    pub read_from: String,
    /// One command or click that mends it.
    pub fix: String,
}

/// A fault that was found on one engine.
pub(super) struct FoundFault {
    pub(super) asked: String,
    pub(super) found: String,
    pub(super) read_from: String,
    pub(super) fix: String,
}
