//! The advice on how an engine that is down is started.

use crucible_config::checked::Manage;

use super::evidence::Evidence;
use crate::view::EngineView;

/// Returns one sentence that says how an engine that is down is started.
pub(super) fn start(evidence: &Evidence, engine: &EngineView) -> String {
    let name = &engine.name;
    let configured = evidence.config.engine(name);
    let address = format!(", or correct `url` of engine '{name}'");
    let address = if configured.is_some() { &*address } else { "" };
    if configured.is_some_and(|e| e.manage == Manage::Spawn) {
        return "Crucible starts it itself: the log of `crucible serve` has its last lines"
            .to_owned();
    }
    if engine.refused_access {
        return format!("it runs: give Crucible the token of engine '{name}', as said before");
    }
    format!("{}{address}", engine.kind.profile().advice.start)
}
