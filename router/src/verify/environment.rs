//! Checks of the settings of `tuning.environment`: the environment of the Ollama process, and the
//! options that reach the same intent.

use crucible_config::{
    checked::{Device, EngineKind},
    tuning::TuningState,
};

use super::{Evidence, Finding, each, ollama, ollama::process};
use crate::view::EngineView;

const DRIVER: &str = "NVIDIA's driver (NVML)";
const PS: &str = "size_vram in GET /api/ps of Ollama";

/// Finds whether an Ollama that Crucible keeps on the CPU uses a GPU, by `size_vram` in `GET /api/ps` and
/// NVIDIA's driver. If so, not in effect; otherwise `num_gpu: 0` in each request supersedes the variable.
pub(super) fn num_gpu(evidence: &Evidence) -> Finding {
    off_the_gpu(evidence, "num_gpu: 0 in every request and preload")
}

/// Finds whether an Ollama that Crucible keeps on the CPU uses a GPU, read as for `num_gpu`. If not,
/// `num_gpu: 0` in each request and `OLLAMA_LLM_LIBRARY=cpu` supersede the variable.
pub(super) fn cpu_target(evidence: &Evidence) -> Finding {
    off_the_gpu(
        evidence,
        "num_gpu: 0 in every request and preload, and OLLAMA_LLM_LIBRARY=cpu",
    )
}

fn off_the_gpu(evidence: &Evidence, knob: &str) -> Finding {
    each(evidence, EngineKind::Ollama, |engine| {
        owns_no_gpu(engine)
            .unwrap_or_else(|| in_vram(evidence, engine))
            .superseded_by(knob)
    })
}

/// Returns the finding that settings about the GPU do not apply to the engine; `None` where they
/// do.
fn owns_no_gpu(engine: &EngineView) -> Option<Finding> {
    (engine.device != Device::Cpu).then(|| {
        let why = "no other GPU engine, so Ollama gets the GPU";
        Finding::not_applicable(why, "the engines found")
    })
}

fn in_vram(evidence: &Evidence, engine: &EngineView) -> Finding {
    let holders: Vec<String> = engine
        .residents
        .iter()
        .filter(|r| r.info.vram_bytes.is_some_and(|n| n > 0))
        .map(|r| {
            format!(
                "{} has {} bytes",
                r.info.instance,
                r.info.vram_bytes.unwrap_or(0)
            )
        })
        .collect();
    if let Some(name) = engine
        .residents
        .iter()
        .find(|r| r.info.vram_bytes.is_some_and(|n| n > 0))
        .map(|r| &r.info.instance)
    {
        let fix = format!("ollama stop {name}; Crucible loads it on the CPU on the next request");
        return Finding::wrong("nothing on a GPU", holders.join(", "), PS, fix);
    }
    let found = match engine.residents.len() {
        0 => "no model is loaded".to_owned(),
        n => format!("size_vram 0 on {}", super::lmstudio::models(n)),
    };
    match computes(evidence, engine) {
        None => Finding::right("nothing on a GPU", found, PS),
        Some(pids) if pids.is_empty() => {
            let found = format!("{found}, and none of its processes computes on one");
            Finding::right("nothing on a GPU", found, &format!("{PS}, {DRIVER}"))
        }
        Some(pids) => {
            let found = format!("its process {} computes on one", pids[0]);
            let fix = format!(
                "crucible env --engine {} --format systemd, then restart Ollama",
                engine.name
            );
            Finding::wrong("nothing on a GPU", found, DRIVER, fix)
        }
    }
}

/// Returns the process ids of the engine that NVIDIA's driver reports as using a GPU; `None` where
/// the driver reports no processes, or the engine's own are not known.
fn computes(evidence: &Evidence, engine: &EngineView) -> Option<Vec<u32>> {
    let named = evidence.machine.on_gpu.as_ref()?;
    let process = process(evidence, engine).ok()?;
    let runners = process.runners.iter().map(|r| r.pid);
    let own = std::iter::once(process.pid).chain(runners);
    Some(own.filter(|pid| named.contains(pid)).collect())
}

/// Finds whether `CUDA_VISIBLE_DEVICES` in `/proc/PID/environ` of an Ollama that Crucible keeps on the CPU is
/// empty or -1. Unset, or with a GPU in use, it is not in effect; unreadable, not verifiable.
pub(super) fn visible_devices(evidence: &Evidence) -> Finding {
    const NAME: &str = "CUDA_VISIBLE_DEVICES";
    each(evidence, EngineKind::Ollama, |engine| {
        if let Some(finding) = owns_no_gpu(engine) {
            return finding;
        }
        let on_gpu = in_vram(evidence, engine);
        if on_gpu.fix.is_some() {
            return on_gpu;
        }
        variable(evidence, engine, NAME, "no visible device", |value| {
            // -1 is what Ollama's documentation names; empty hides all by NVIDIA's rules.
            value.is_empty() || value == "-1"
        })
    })
}

/// Compares `OLLAMA_MAX_LOADED_MODELS` in `/proc/PID/environ` of Ollama with the configured number, or one
/// more where there is an embedding model. Unset is not in effect; unreadable is not verifiable.
pub(super) fn loaded_models(evidence: &Evidence) -> Finding {
    let wanted = evidence.config.tuning.ollama.max_loaded_models;
    each(evidence, EngineKind::Ollama, |engine| {
        let embedding = super::has_embedding(engine);
        let asked = if embedding {
            format!("{wanted}, or {} with the embedding model", wanted + 1)
        } else {
            wanted.to_string()
        };
        variable(
            evidence,
            engine,
            "OLLAMA_MAX_LOADED_MODELS",
            &asked,
            |value| {
                let value = value.parse::<u32>().ok();
                value == Some(wanted) || (embedding && value == Some(wanted + 1))
            },
        )
    })
}

/// Compares `OLLAMA_MAX_QUEUE` in `/proc/PID/environ` of the Ollama process with the configured number.
/// Another value or none is not in effect; a process that cannot be read is not verifiable.
pub(super) fn queue(evidence: &Evidence) -> Finding {
    let wanted = evidence.config.tuning.ollama.max_queue.to_string();
    each(evidence, EngineKind::Ollama, |engine| {
        variable(evidence, engine, "OLLAMA_MAX_QUEUE", &wanted, |value| {
            value == wanted
        })
    })
}

/// Compares `OLLAMA_NUM_PARALLEL` in `/proc/PID/environ` of the Ollama process with the configured number.
/// Another value or none is not in effect; a process that cannot be read is not verifiable.
pub(super) fn parallel(evidence: &Evidence) -> Finding {
    let wanted = evidence.config.tuning.ollama.num_parallel.to_string();
    each(evidence, EngineKind::Ollama, |engine| {
        variable(evidence, engine, "OLLAMA_NUM_PARALLEL", &wanted, |value| {
            value == wanted
        })
    })
}

/// Compares `-t` on the command lines of Ollama's runners with the configured threads: another number or none
/// is not in effect. The right one, or no readable runner, is superseded by `num_thread` in requests.
pub(super) fn threads(evidence: &Evidence) -> Finding {
    const KNOB: &str = "num_thread in every request and preload";
    let mut finding = ollama::threads(evidence);
    if finding.state == TuningState::Unverifiable {
        // Crucible sends the real knob; whether the runner took it is told by `num_threads`.
        finding.state = TuningState::Superseded;
        finding.found = format!("superseded by {KNOB} ({}, see row 25)", finding.found);
        return finding;
    }
    finding.superseded_by(KNOB)
}

/// Finds whether the memory of Ollama's runners is interleaved over the NUMA nodes, by `/proc/PID/numa_maps`.
/// If so, numactl or systemd's `NUMAPolicy` supersedes the variable; else not in effect, on one node not
/// applicable.
pub(super) fn numa(evidence: &Evidence) -> Finding {
    ollama::numa(evidence).superseded_by("numactl or systemd's NUMAPolicy")
}

fn variable(
    evidence: &Evidence,
    engine: &EngineView,
    name: &str,
    asked: &str,
    good: impl Fn(&str) -> bool,
) -> Finding {
    let hidden = |why: &str| {
        Finding::unknown(
            asked,
            format!("only the process shows it: {why}"),
            "the environment of Ollama's process",
        )
    };
    let process = match process(evidence, engine) {
        Ok(process) => process,
        Err(why) => return hidden(why),
    };
    let variables = match &process.environment {
        Ok(variables) => variables,
        Err(why) => return hidden(why),
    };
    let at = format!("/proc/{}/environ", process.pid);
    let fix = format!(
        "crucible env --engine {} --format systemd, then restart Ollama",
        engine.name
    );
    match variables.get(name) {
        Some(value) if good(value) => Finding::right(asked, format!("{name}={value}"), &at),
        Some(value) => Finding::wrong(asked, format!("{name}={value}"), &at, fix),
        None => Finding::wrong(asked, format!("{name} is not set"), &at, fix),
    }
}
