//! Checks of the settings of `tuning.ollama` that show in Ollama's loaded models and in the command
//! lines of its runners.

use crucible_config::checked::EngineKind;

use super::{Evidence, Finding, context, each, lmstudio::within_count, residents, worst};
use crate::{
    catalog::ModelKind,
    machine::ollama_process::{OllamaProcess, OllamaRunner},
    view::EngineView,
};

const PS: &str = "GET /api/ps of Ollama";

/// Compares the number of generation models that Ollama lists as loaded in `GET /api/ps` with the limit,
/// engine by engine: more is not in effect. Embedding models do not count.
pub(super) fn loaded_models(evidence: &Evidence) -> Finding {
    let limit = evidence.config.tuning.ollama.max_loaded_models;
    each(evidence, EngineKind::Ollama, |engine| {
        within_count(engine, limit, PS)
    })
}

/// Compares the requests that wait in Crucible's own queue for each Ollama with its limit; Ollama's queue is
/// not read. More is not in effect; without a running instance it is not verifiable.
pub(super) fn queue(evidence: &Evidence) -> Finding {
    const AT: &str = "Crucible's queue (GET /crucible/state, GET /metrics)";
    each(evidence, EngineKind::Ollama, |engine| {
        let limit = engine.queue_limit;
        let mut asked = format!("at most {limit} waiting");
        if limit != evidence.config.tuning.ollama.max_queue {
            asked = format!("{asked} (`[[engine]] queue`)");
        }
        let Some(counters) = &evidence.counters else {
            let why = "Crucible keeps this queue, and no instance is running at the configured \
                       address";
            return Finding::unknown(asked, why, AT).with_fix("crucible serve");
        };
        let found = format!(
            "{} waiting, {} refused since the start",
            engine.queued, counters.queue_full
        );
        if engine.queued <= limit {
            Finding::right(asked, found, AT)
        } else {
            Finding::wrong(asked, found, AT, "restart Crucible and report it")
        }
    })
}

/// Compares `-np` on the command lines of Ollama's runners with Crucible's permits per model: less is not in
/// effect. Where no runner can be read, the permits in use must not exceed those given.
pub(super) fn parallel(evidence: &Evidence) -> Finding {
    const AT: &str = "Crucible's permits (GET /crucible/state)";
    each(evidence, EngineKind::Ollama, |engine| {
        let permits = engine.permits;
        let asked = format!("{permits} requests at once per model");
        let slots = |runner: &OllamaRunner| {
            let slots = runner.value(&["-np", "--parallel"])?;
            let at = format!("-np in /proc/{}/cmdline", runner.pid);
            let found = format!("{slots} slots in the runner {}", runner.pid);
            Some(if slots.parse::<u32>().is_ok_and(|n| n >= permits) {
                Finding::right(&*asked, found, &at)
            } else {
                let fix = render(engine, "OLLAMA_NUM_PARALLEL");
                Finding::wrong(&*asked, found, &at, fix)
            })
        };
        let seen = process(evidence, engine)
            .ok()
            .and_then(|p| worst(generating(p).filter_map(slots)));
        if let Some(finding) = seen {
            return finding;
        }
        if evidence.counters.is_none() {
            let why = "Crucible gives these permits, and no instance is running at the configured \
                       address";
            return Finding::unknown(asked, why, AT).with_fix("crucible serve");
        }
        let held = engine.residents.iter();
        match held.clone().find(|r| r.active > permits) {
            None => Finding::right(&*asked, format!("{} in use", engine.active), AT),
            Some(r) => Finding::wrong(
                &*asked,
                format!("{} on {}", r.active, r.info.instance),
                AT,
                "restart Crucible and report it",
            ),
        }
    })
}

/// Compares `-t` in `/proc/PID/cmdline` of Ollama's runners with the configured threads, capped at the
/// physical cores. Another number or none is not in effect; without a runner to read it is not verifiable.
pub(super) fn threads(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Ollama, |engine| {
        let wanted = evidence.config.tuning.ollama.num_threads;
        let cores = evidence.machine.cores.unwrap_or(wanted);
        let threads = wanted.min(cores);
        let asked = if threads == wanted {
            format!("{threads} threads")
        } else {
            format!("{threads} threads ({wanted}, clamped to the physical cores)")
        };
        runners(evidence, engine, &asked, false, |runner, at| {
            let found = runner.value(&["-t", "--threads"]);
            if found.and_then(|n| n.parse::<u32>().ok()) == Some(threads) {
                return Finding::right(&*asked, format!("{threads}"), at);
            }
            let found = match found {
                Some(n) if n.parse::<u32>().is_ok_and(|n| n > cores) => {
                    format!("{n}, more than the {cores} physical cores")
                }
                Some(n) => n.to_owned(),
                None => "no -t, so the number is automatic".to_owned(),
            };
            Finding::wrong(&*asked, found, at, reload(engine))
        })
    })
}

/// Finds whether the memory of Ollama's runners is interleaved over the NUMA nodes, by `/proc/PID/numa_maps`;
/// else it is not in effect. Not applicable on one node or without a policy.
pub(super) fn numa(evidence: &Evidence) -> Finding {
    const AT: &str = "/sys/devices/system/node";
    let policy = &*evidence.config.tuning.ollama.numa_policy;
    each(evidence, EngineKind::Ollama, |engine| {
        match evidence.machine.nodes {
            _ if policy == "none" => {
                return Finding::not_applicable(
                    "no policy is asked for",
                    "the configuration in force",
                );
            }
            Some(1) => return Finding::not_applicable("one node", AT),
            None => return Finding::unknown(policy, "the NUMA nodes cannot be read here", AT),
            Some(_) => {}
        }
        runners(evidence, engine, policy, true, |runner, _| {
            let at = format!("/proc/{}/numa_maps", runner.pid);
            match &runner.interleaved {
                Err(why) => Finding::unknown(policy, why, &at),
                Ok(true) => Finding::right(policy, "interleaved memory", &at),
                Ok(false) => Finding::wrong(
                    policy,
                    "memory of the default policy",
                    &at,
                    format!(
                        "crucible env --engine {} --format systemd, which has NUMAPolicy=interleave",
                        engine.name
                    ),
                ),
            }
        })
    })
}

/// Compares the context of each loaded generation model in Ollama's `GET /api/ps` with the configured tokens
/// per request. Less is not in effect, nor is one that `crucible doctor --probe` found smaller.
pub(super) fn context_size(evidence: &Evidence) -> Finding {
    let at = format!("context_length in {PS}");
    each(evidence, EngineKind::Ollama, |engine| {
        residents(engine, &at, |resident| {
            context::context(evidence, engine, resident, &at)
        })
    })
}

/// Compares `-b` in `/proc/PID/cmdline` of Ollama's runners, those of embedding models left out, with the
/// configured number. Another one or none is not in effect; without a runner to read it is not verifiable.
pub(super) fn batch_size(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Ollama, |engine| {
        let wanted = evidence.config.tuning.ollama.batch_size.to_string();
        runners(evidence, engine, &wanted, false, |runner, at| match runner
            .value(&["-b", "--batch-size"])
        {
            Some(found) if found == wanted => Finding::right(&*wanted, found, at),
            found => {
                let found = found.unwrap_or("no -b, so it is automatic");
                Finding::wrong(&*wanted, found, at, reload(engine))
            }
        })
    })
}

/// Finds whether Ollama's runners map the model's file, by `--load-mode` and `--no-mmap` on their command
/// lines and by `/proc/PID/maps`, and compares that with the setting. Not verifiable without a runner.
pub(super) fn mmap(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Ollama, |engine| {
        let wanted = evidence.config.tuning.ollama.use_mmap;
        runners(evidence, engine, &wanted.to_string(), true, |runner, at| {
            let mode = runner.value(&["--load-mode"]);
            let off = matches!(mode, Some("none" | "dio")) || runner.has(&["--no-mmap"]);
            let (found, at) = match (&runner.mapped, off) {
                (_, true) => (
                    format!("off: --load-mode {}", mode.unwrap_or("none")),
                    at.to_owned(),
                ),
                (Ok(true), false) => (
                    "on: the model file is mapped".to_owned(),
                    format!("/proc/{}/maps", runner.pid),
                ),
                (Ok(false), false) => (
                    "off: the model file is not mapped".to_owned(),
                    format!("/proc/{}/maps", runner.pid),
                ),
                (Err(why), false) if wanted => {
                    return Finding::right("true", format!("not switched off; {why}"), at);
                }
                (Err(why), false) => return Finding::unknown("false", why, at),
            };
            if found.starts_with("on") == wanted {
                Finding::right(wanted.to_string(), found, &at)
            } else {
                Finding::wrong(wanted.to_string(), found, &at, reload(engine))
            }
        })
    })
}

/// Compares the locked memory (`VmLck` in `/proc/PID/status`) of Ollama's runners with the setting. Where
/// none can be read, only off is right: Ollama has no such option, and its load mode supersedes it.
pub(super) fn mlock(evidence: &Evidence) -> Finding {
    const KNOB: &str = "Ollama's load mode, in which locking is off";
    each(evidence, EngineKind::Ollama, |engine| {
        let wanted = evidence.config.tuning.ollama.use_mlock;
        let seen = process(evidence, engine).ok().and_then(|p| {
            worst(p.runners.iter().filter_map(|runner| {
                let locked = *runner.locked.as_ref().ok()?;
                let at = format!("VmLck in /proc/{}/status", runner.pid);
                let found = format!("{locked} kB locked");
                Some(if (locked > 0) == wanted {
                    Finding::right(wanted.to_string(), found, &at)
                } else {
                    Finding::wrong(wanted.to_string(), found, &at, lock_fix(wanted))
                })
            }))
        });
        seen.unwrap_or_else(|| {
            const AT: &str = "Ollama's source: the option was removed";
            if wanted {
                return Finding::wrong("true", "Ollama has no such option", AT, lock_fix(true));
            }
            Finding::right("false", "nothing is sent, and off is its only state", AT)
        })
        .superseded_by(KNOB)
    })
}

fn lock_fix(wanted: bool) -> String {
    if wanted {
        "start Ollama with LLAMA_ARG_LOAD_MODE=mmap+mlock, or set \
                 tuning.ollama.use_mlock = false"
            .to_owned()
    } else {
        "remove LLAMA_ARG_LOAD_MODE and LLAMA_ARG_MLOCK from Ollama's environment".to_owned()
    }
}

/// Returns the process of an engine; the error says why there is none to look at.
pub(super) fn process<'a>(
    evidence: &'a Evidence,
    engine: &EngineView,
) -> Result<&'a OllamaProcess, &'a str> {
    match evidence.processes.get(&engine.name) {
        Some(Ok(process)) => Ok(process),
        Some(Err(why)) => Err(why),
        None => Err("its processes were not looked at"),
    }
}

fn generating(process: &OllamaProcess) -> impl Iterator<Item = &OllamaRunner> {
    process.runners.iter().filter(|r| !r.embeds())
}

/// Checks every runner of an engine on this machine and joins the findings; runners of embedding
/// models only where `all` is set.
fn runners(
    evidence: &Evidence,
    engine: &EngineView,
    asked: &str,
    all: bool,
    check: impl Fn(&OllamaRunner, &str) -> Finding,
) -> Finding {
    const AT: &str = "the command line of Ollama's runner";
    let process = match process(evidence, engine) {
        Ok(process) => process,
        Err(why) => {
            return Finding::unknown(asked, format!("only the process shows it: {why}"), AT);
        }
    };
    let looked = process.runners.iter().filter(|r| all || !r.embeds());
    let findings = looked.map(|runner| {
        let at = format!("/proc/{}/cmdline", runner.pid);
        check(runner, &at)
    });
    worst(findings).unwrap_or_else(|| {
        let held = engine.residents.iter();
        let any = held.clone().any(|r| r.info.kind == ModelKind::Generation);
        let why = if any {
            format!("process {} has no runner that can be seen", process.pid)
        } else {
            "no generation model is loaded that could show it".to_owned()
        };
        Finding::unknown(asked, why, AT)
    })
}

fn reload(engine: &EngineView) -> String {
    let mut held = engine.residents.iter();
    let name = held
        .find(|r| r.info.kind == ModelKind::Generation)
        .map_or("MODEL", |r| &*r.info.instance);
    format!("ollama stop {name}; Crucible loads it with its own options on the next request")
}

fn render(engine: &EngineView, variable: &str) -> String {
    format!(
        "crucible env --engine {} --format systemd, which sets {variable}",
        engine.name
    )
}
