//! The paths that only one kind of engine has: those by which it is managed, closed to clients unless
//! `guard.open` names them, and those that are passed on.

use crate::{
    checked::EngineKind,
    engine_profile::{ManagementPath, PassedPath},
};

/// Every path that manages an engine, with the kind of engine that has it.
pub fn management_paths() -> impl Iterator<Item = (EngineKind, &'static ManagementPath)> {
    let of = |kind: EngineKind| {
        kind.profile()
            .management
            .iter()
            .map(move |path| (kind, path))
    };
    EngineKind::ALL.into_iter().flat_map(of)
}

/// Every path that is passed on, with the kind of engine that has it.
pub fn passed_paths() -> impl Iterator<Item = (EngineKind, &'static PassedPath)> {
    let of = |kind: EngineKind| kind.profile().passed.iter().map(move |path| (kind, path));
    EngineKind::ALL.into_iter().flat_map(of)
}

/// Reports whether the path `below` is `path` or lies below it.
pub fn covers(path: &str, below: &str) -> bool {
    below
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
