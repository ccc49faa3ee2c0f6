//! The search for faults beyond the 39 settings, on each engine that is up.

pub(super) mod down;
mod engine_fault;
mod lmstudio;
mod ollama;
#[cfg(test)]
mod tests;

use crucible_config::checked::EngineKind;

pub use self::engine_fault::EngineFault;
use self::engine_fault::FoundFault;
use super::{
    Evidence, Finding,
    probe::{self, context::ContextVerdict},
};
use crate::{versions, view::EngineView};

/// The search for one kind of fault on each engine that is up.
struct FaultSearch {
    name: &'static str,
    /// The kind of engine that is searched; `None` is every kind.
    kind: Option<EngineKind>,
    look: fn(&Evidence, &EngineView) -> Vec<FoundFault>,
}

const fn of_lmstudio(
    name: &'static str,
    look: fn(&Evidence, &EngineView) -> Vec<FoundFault>,
) -> FaultSearch {
    FaultSearch {
        name,
        kind: Some(EngineKind::Lmstudio),
        look,
    }
}

const fn of_ollama(
    name: &'static str,
    look: fn(&Evidence, &EngineView) -> Vec<FoundFault>,
) -> FaultSearch {
    FaultSearch {
        name,
        kind: Some(EngineKind::Ollama),
        look,
    }
}

/// Everything that is looked for where an engine answers, in the order in which it is told.
const FAULTS: [FaultSearch; 14] = [
    FaultSearch {
        name: "old_version",
        kind: None,
        look: old_version,
    },
    FaultSearch {
        name: "silent_cut",
        kind: None,
        look: silent_cut,
    },
    FaultSearch {
        name: "smaller_context",
        kind: Some(EngineKind::Llamacpp),
        look: smaller_context,
    },
    of_lmstudio("no_load_control", lmstudio::no_load_control),
    of_lmstudio("auto_evict", lmstudio::auto_evict),
    of_lmstudio("other_context", lmstudio::other_context),
    of_lmstudio("second_instance", lmstudio::second_instance),
    of_lmstudio("bypassed", lmstudio::bypassed),
    of_ollama("reloaded", ollama::reloaded),
    of_ollama("gpu_memory", ollama::gpu_memory),
    of_ollama("shared_weights", ollama::shared_weights),
    of_ollama("other_servers", ollama::other_servers),
    of_ollama("too_many_threads", ollama::too_many_threads),
    of_ollama("fictional_variable", ollama::fictional_variable),
];

/// Returns all faults of the engines: those that refuse access, those that do not answer, and then
/// what is wrong with each engine that is up.
pub fn engine_faults(evidence: &Evidence) -> Vec<EngineFault> {
    let closed = evidence.view.engines.iter().filter(|e| e.refused_access);
    let mut all: Vec<EngineFault> = closed.map(refused_access).collect();
    all.extend(down::engine_faults(evidence));
    for engine in evidence.view.engines.iter().filter(|e| e.is_up()) {
        let of_it = |fault: &&FaultSearch| fault.kind.is_none_or(|kind| kind == engine.kind);
        for fault in FAULTS.iter().filter(of_it) {
            let told = (fault.look)(evidence, engine).into_iter();
            all.extend(told.map(|told| EngineFault {
                engine: engine.name.to_string(),
                fault: fault.name,
                asked: told.asked,
                found: told.found,
                read_from: told.read_from,
                fix: told.fix,
            }));
        }
    }
    all
}

fn refused_access(engine: &EngineView) -> EngineFault {
    EngineFault {
        engine: engine.name.to_string(),
        fault: "refused_access",
        asked: "an engine that lets Crucible in".to_owned(),
        found: engine.error.clone().unwrap_or_default(),
        read_from: format!("the lists of {}", engine.url),
        fix: "set the variable that api_key_env of this engine names, and start Crucible again"
            .to_owned(),
    }
}

fn old_version(_: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let version = engine.version.as_deref().unwrap_or_default();
    let lacking = versions::lacking(engine.kind, version);
    let told = lacking.map(|feature| FoundFault {
        asked: format!("version {} or newer", feature.since),
        found: format!("version {version}: {}", feature.without),
        read_from: format!("the version that {} tells", engine.url),
        fix: format!("update {}", engine.kind.profile().product),
    });
    told.collect()
}

/// Returns the faults that the last `crucible doctor --probe` found with this verdict on a context.
fn probed(
    evidence: &Evidence,
    engine: &EngineView,
    verdict: ContextVerdict,
    asked: &str,
    fix: &str,
) -> Vec<FoundFault> {
    let told = engine.residents.iter().filter_map(|resident| {
        let probe = probe::context::last_probe(&evidence.contexts, engine, resident)?;
        (probe.verdict == verdict).then(|| FoundFault {
            asked: asked.to_owned(),
            found: format!(
                "{} states a context of {}: {}",
                resident.info.instance, probe.stated, probe.words
            ),
            read_from: "crucible doctor --probe".to_owned(),
            fix: format!("{fix}; then crucible doctor --probe"),
        })
    });
    told.collect()
}

fn silent_cut(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let fix = engine.kind.profile().advice.never_cut;
    let asked = "an error for a prompt that does not fit";
    probed(evidence, engine, ContextVerdict::Cuts, asked, fix)
}

/// Finds contexts that are smaller than the configured one on llama.cpp and OpenAI-compatible
/// engines; on others the checks of the settings find them.
fn smaller_context(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let fix = "start the server with the -c that is meant, times its slots (-np)";
    probed(
        evidence,
        engine,
        ContextVerdict::Smaller,
        "the context that it states",
        fix,
    )
}

// === impl FoundFault ===

impl FoundFault {
    fn of(finding: Finding, found: String, fix: String) -> Self {
        Self {
            asked: finding.asked,
            found,
            read_from: finding.read_at,
            fix,
        }
    }
}
