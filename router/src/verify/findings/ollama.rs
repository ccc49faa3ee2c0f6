//! The searches for faults of Ollama and its process beyond the 39 settings, such as a second server.

use crucible_config::{
    checked::Device,
    tuning::{TUNINGS, TuningGroup},
};

use super::FoundFault;
use crate::{
    catalog::ModelKind,
    machine::ollama_process::OllamaProcess,
    verify::{Evidence, context, ollama},
    view::{EngineView, ResidentView},
};

const PS: &str = "GET /api/ps";

/// Finds models that Crucible did not load and whose context differs from the configured one: a
/// client that bypasses Crucible loaded them. Nothing is found where no instance runs.
pub(super) fn reloaded(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    if evidence.counters.is_none() {
        return Vec::new();
    }
    let other = |resident: &ResidentView| {
        let held = resident.info.context?;
        let finding = context::context(evidence, engine, resident, PS)?;
        let wanted = context::wanted_context(evidence, engine, resident)?;
        (held != wanted.whole).then(|| {
            let name = &resident.info.instance;
            let found = format!(
                "{name} has {held} and was not loaded by Crucible: a client that bypasses it did so, \
                 and Ollama loads a model anew whenever two clients' options differ"
            );
            let fix = format!(
                "ollama stop {name}, and point that client at Crucible's address instead of {}",
                engine.url
            );
            FoundFault::of(finding, found, fix)
        })
    };
    let foreign = engine.residents.iter().filter(|r| !r.owned);
    foreign
        .filter(|r| r.info.kind == ModelKind::Generation)
        .filter_map(other)
        .collect()
}

/// Finds models of an engine on the CPU that hold GPU memory, which another engine owns.
pub(super) fn gpu_memory(_: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    if engine.device != Device::Cpu {
        return Vec::new();
    }
    let held = |resident: &ResidentView| {
        let bytes = resident.info.vram_bytes.filter(|bytes| *bytes > 0)?;
        let name = &resident.info.instance;
        Some(FoundFault {
            asked: "0 bytes of GPU memory".to_owned(),
            found: format!("{name} holds {bytes} bytes of a GPU that another engine owns"),
            read_from: format!("size_vram in {PS}"),
            fix: format!("ollama stop {name}; Crucible loads it on the CPU on the next request"),
        })
    };
    engine.residents.iter().filter_map(held).collect()
}

/// Finds names over the same weights that ask for different options, so that each evicts the other.
pub(super) fn shared_weights(_: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let told = engine.conflicts.iter().filter(|c| c.of_weights);
    told.map(|conflict| FoundFault {
        asked: "the same options for all names over the same weights".to_owned(),
        found: conflict.found.clone(),
        read_from: "modelfile in POST /api/show".to_owned(),
        fix: conflict.fix.clone(),
    })
    .collect()
}

/// Finds further `ollama serve` processes, each of which may hold models in the same memory.
pub(super) fn other_servers(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let Some(process) = process(evidence, engine).filter(|p| !p.others.is_empty()) else {
        return Vec::new();
    };
    let pids: Vec<String> = process.others.iter().map(u32::to_string).collect();
    vec![FoundFault {
        asked: "one `ollama serve`".to_owned(),
        found: format!(
            "besides process {} there are others: {}; each may hold models in the same memory",
            process.pid,
            pids.join(", ")
        ),
        read_from: "/proc".to_owned(),
        fix: format!("kill {}, where it is not needed", pids.join(" ")),
    }]
}

/// Finds runners with more threads than the machine has physical cores: one too many can cost a
/// factor of ten and more.
pub(super) fn too_many_threads(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let Some((process, cores)) = process(evidence, engine).zip(evidence.machine.cores) else {
        return Vec::new();
    };
    let more = process.runners.iter().filter_map(|runner| {
        let threads = runner.value(&["-t", "--threads"])?;
        let threads = threads.parse::<u32>().ok().filter(|n| *n > cores)?;
        Some(FoundFault {
            asked: format!("at most {cores} threads, one for each physical core"),
            found: format!("runner {} computes with {threads}", runner.pid),
            read_from: format!("/proc/{}/cmdline", runner.pid),
            fix: format!("set tuning.ollama.num_threads = {cores}"),
        })
    });
    more.collect()
}

/// Finds variables in the environment of Ollama that guides name and Ollama does not know.
pub(super) fn fictional_variable(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let Some(process) = process(evidence, engine) else {
        return Vec::new();
    };
    let Ok(variables) = &process.environment else {
        return Vec::new();
    };
    let rows = TUNINGS
        .iter()
        .filter(|r| r.group == TuningGroup::Environment)
        .filter_map(|row| Some((row.id.key(), row.superseded_by?)))
        .filter(|(name, _)| variables.contains_key(*name));
    rows.map(|(name, knob)| FoundFault {
        asked: "variables that Ollama knows".to_owned(),
        found: format!("{name} is in its environment, and Ollama knows no such variable"),
        read_from: format!("/proc/{}/environ", process.pid),
        fix: format!("remove it; what works is {knob}"),
    })
    .collect()
}

fn process<'a>(evidence: &'a Evidence, engine: &EngineView) -> Option<&'a OllamaProcess> {
    ollama::process(evidence, engine).ok()
}
