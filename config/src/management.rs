//! The paths by which engines are managed: closed to clients unless `guard.open` names them.

use crate::checked::EngineKind;

/// A path that manages an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Management {
    /// The method, or `*` for any.
    pub method: &'static str,
    /// The path, and all below it.
    pub path: &'static str,
    /// Whose it is.
    pub kind: EngineKind,
}

const fn of(kind: EngineKind, method: &'static str, path: &'static str) -> Management {
    Management { method, path, kind }
}

/// All of them: Ollama 0.33 (`server/routes.go`), LM Studio 0.4 REST v1, llama.cpp's server with its
/// router mode.
pub const MANAGEMENT: [Management; 18] = [
    of(EngineKind::Ollama, "*", "/api/create"),
    of(EngineKind::Ollama, "*", "/api/pull"),
    of(EngineKind::Ollama, "*", "/api/push"),
    of(EngineKind::Ollama, "*", "/api/copy"),
    of(EngineKind::Ollama, "*", "/api/delete"),
    of(EngineKind::Ollama, "*", "/api/blobs"),
    of(EngineKind::Ollama, "*", "/api/me"),
    of(EngineKind::Ollama, "*", "/api/signout"),
    of(EngineKind::Ollama, "*", "/api/experimental"),
    of(EngineKind::Lmstudio, "*", "/api/v1/models/load"),
    of(EngineKind::Lmstudio, "*", "/api/v1/models/unload"),
    of(EngineKind::Lmstudio, "*", "/api/v1/models/download"),
    of(EngineKind::Llamacpp, "*", "/models/load"),
    of(EngineKind::Llamacpp, "*", "/models/unload"),
    of(EngineKind::Llamacpp, "*", "/slots"),
    of(EngineKind::Llamacpp, "*", "/lora-adapters"),
    of(EngineKind::Llamacpp, "POST", "/props"),
    of(EngineKind::Llamacpp, "DELETE", "/models"),
];

/// Whether a path is this one or below it.
pub fn covers(path: &str, below: &str) -> bool {
    below
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
