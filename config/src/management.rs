//! The paths by which engines are managed: closed to clients unless `guard.open` names them.

use crate::{checked::EngineKind, engine_profile::ManagementPath};

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

/// Reports whether the path `below` is `path` or lies below it.
pub fn covers(path: &str, below: &str) -> bool {
    below
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
