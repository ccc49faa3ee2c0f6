//! A fault of an engine that is none of the 39 settings of `[tuning]`, as it is reported to a
//! person.

use serde::Serialize;

/// A fault of an engine that a person should know of, with the way to mend it. It lies beyond the
/// 39 settings of `[tuning]` and makes none of them count as wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineFault {
    /// The name of the engine; it is `none` where there is no engine at all.
    pub engine: String,
    /// The fixed name of the fault for programs, such as `old_version`.
    pub fault: &'static str,
    /// The state that Crucible relies on or asks for, in words.
    pub asked: String,
    /// The state that was found, in words.
    pub found: String,
    /// The source that it was read from.
    pub read_from: String,
    /// The command, the setting or the click that mends it, in words.
    pub fix: String,
}

/// A fault that was found on one engine: an [`EngineFault`] before the names of engine and fault are
/// added.
pub(super) struct FoundFault {
    /// The state that Crucible relies on or asks for, in words.
    pub(super) asked: String,
    /// The state that was found, in words.
    pub(super) found: String,
    /// The source that it was read from.
    pub(super) read_from: String,
    /// The command, the setting or the click that mends it, in words.
    pub(super) fix: String,
}
