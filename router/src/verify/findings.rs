//! What is wrong beyond the 39 rows.

use crucible_config::{
    checked::{Device, EngineKind},
    tuning::{Group, TUNINGS},
};
use serde::Serialize;

use super::{Evidence, lmstudio, ollama};
use crate::{discovery::product, versions, view::EngineView};

/// Something that a person should know; it makes no row wrong by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Engine name.
    pub engine: String,
    /// What was found and where.
    pub found: String,
    /// One thing that mends it.
    pub fix: String,
}

/// All remarks, engine by engine.
pub fn remarks(evidence: &Evidence) -> Vec<Remark> {
    let mut all = Vec::new();
    for engine in &evidence.view.engines {
        let mut remark = |found: String, fix: String| {
            all.push(Remark {
                engine: engine.name.to_string(),
                found,
                fix,
            });
        };
        old_version(engine, &mut remark);
        reloaded(evidence, engine, &mut remark);
        match engine.kind {
            EngineKind::Lmstudio => {
                loaded_otherwise(evidence, engine, &mut remark);
                second_instances(engine, &mut remark);
            }
            EngineKind::Ollama => {
                in_vram(engine, &mut remark);
                of_the_process(evidence, engine, &mut remark);
            }
            EngineKind::Llamacpp | EngineKind::Openai => {}
        }
    }
    all
}

type Tell<'a> = dyn FnMut(String, String) + 'a;

fn old_version(engine: &EngineView, tell: &mut Tell) {
    let Some(version) = &engine.version else {
        return;
    };
    for lacks in versions::advice(engine.kind, version) {
        tell(lacks, format!("update {}", product(engine.kind)));
    }
}

/// Models that LM Studio or a person loaded with another context than the configured one.
fn loaded_otherwise(evidence: &Evidence, engine: &EngineView, tell: &mut Tell) {
    const AT: &str = "GET /api/v1/models";
    for resident in engine.residents.iter().filter(|r| !r.owned) {
        let wrong = lmstudio::context(evidence, engine, resident, AT)
            .filter(|finding| finding.fix.is_some());
        if let Some(finding) = wrong {
            let name = &resident.info.instance;
            tell(
                format!(
                    "{name} was loaded by just-in-time loading or by hand: {} asked, {}",
                    finding.asked, finding.found
                ),
                format!(
                    "lms unload {name}; with \"Only Keep Last JIT Loaded Model\" on, LM Studio may \
                     also end it while it answers"
                ),
            );
        }
    }
}

/// LM Studio's load makes `key:2` where `key` is there.
fn second_instances(engine: &EngineView, tell: &mut Tell) {
    for (i, resident) in engine.residents.iter().enumerate() {
        let mut before = engine.residents[..i].iter();
        if before.any(|r| r.info.model == resident.info.model) {
            let name = &resident.info.instance;
            tell(
                format!("{} is loaded more than once: {name}", resident.info.model),
                format!("lms unload {name}"),
            );
        }
    }
}

fn in_vram(engine: &EngineView, tell: &mut Tell) {
    if engine.device != Device::Cpu {
        return;
    }
    for resident in &engine.residents {
        let bytes = resident.info.vram_bytes.unwrap_or(0);
        if bytes > 0 {
            let name = &resident.info.instance;
            tell(
                format!("{name} holds {bytes} bytes of a GPU that another engine owns"),
                format!("ollama stop {name}; Crucible loads it on the CPU on the next request"),
            );
        }
    }
}

/// A resident of Crucible's that no longer has the context of its order.
fn reloaded(evidence: &Evidence, engine: &EngineView, tell: &mut Tell) {
    let changed = engine.residents.iter().filter_map(|resident| {
        let ordered = resident.tuple?.context?;
        let held = resident.info.context?;
        (engine.kind == EngineKind::Ollama && held != ordered).then_some((resident, ordered, held))
    });
    for (resident, ordered, held) in changed {
        tell(
            format!(
                "{} was loaded by Crucible with context {ordered} and now has {held}: a client \
                 that bypasses Crucible loaded it again",
                resident.info.instance
            ),
            "point that client at Crucible's address instead of the engine's".to_owned(),
        );
    }
    let times = evidence
        .counters
        .as_ref()
        .and_then(|c| c.vanished.get(&*engine.name).copied())
        .unwrap_or_default();
    // Ollama's own keep-alive ends there; an explicit load of LM Studio never does.
    if times > 0 && engine.kind == EngineKind::Lmstudio {
        tell(
            format!("models left its memory {times} times without Crucible's order"),
            "see who else uses the engine, and point it at Crucible's address".to_owned(),
        );
    }
}

fn of_the_process(evidence: &Evidence, engine: &EngineView, tell: &mut Tell) {
    let Ok(process) = ollama::process(evidence, engine) else {
        return;
    };
    if !process.others.is_empty() {
        let pids: Vec<String> = process.others.iter().map(u32::to_string).collect();
        tell(
            format!(
                "besides process {} there are other `ollama serve` processes: {}",
                process.pid,
                pids.join(", ")
            ),
            "end those that are not needed: each may hold models in the same memory".to_owned(),
        );
    }
    if let Some(cores) = evidence.machine.cores {
        for runner in &process.runners {
            let threads = runner.value(&["-t", "--threads"]);
            let threads = threads.and_then(|n| n.parse::<u32>().ok());
            if let Some(threads) = threads.filter(|n| *n > cores) {
                tell(
                    format!(
                        "runner {} computes with {threads} threads on {cores} physical cores \
                         (/proc/{}/cmdline)",
                        runner.pid, runner.pid
                    ),
                    format!("set tuning.ollama.num_threads = {cores}"),
                );
            }
        }
    }
    let Ok(variables) = &process.environment else {
        return;
    };
    let fictional = TUNINGS
        .iter()
        .filter(|row| row.group == Group::Environment)
        .filter_map(|row| Some((row.key(), row.superseded_by?)))
        .filter(|(name, _)| variables.contains_key(*name));
    for (name, knob) in fictional {
        tell(
            format!(
                "{name} is in its environment (/proc/{}/environ), and Ollama knows no such \
                 variable",
                process.pid
            ),
            format!("remove it; what works is {knob}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::testing::{all_right, held, runner},
        *,
    };
    use crate::engine::Tuple;

    fn told(change: impl Fn(&mut Evidence)) -> String {
        let mut evidence = all_right();
        change(&mut evidence);
        let remarks = remarks(&evidence);
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        format!(
            "{}: {}; {}",
            remarks[0].engine, remarks[0].found, remarks[0].fix
        )
    }

    #[test]
    fn where_all_is_right_there_is_nothing_to_remark() {
        assert_eq!(remarks(&all_right()), []);
    }

    #[test]
    fn each_remark_names_the_engine_what_was_found_and_one_way_out() {
        let by_jit = told(|e| {
            let resident = &mut e.lmstudio().residents[0];
            resident.owned = false;
            resident.info.context = Some(2048);
        });
        assert!(
            by_jit.contains("lmstudio: qwen was loaded by just-in-time loading"),
            "{by_jit}"
        );
        assert!(by_jit.contains("2048 on qwen; lms unload qwen"), "{by_jit}");
        let twice = told(|e| {
            let mut second = e.lmstudio().residents[0].clone();
            second.info.instance = Arc::from("qwen:2");
            e.lmstudio().residents.push(second);
        });
        assert!(
            twice.contains("qwen is loaded more than once: qwen:2; lms unload qwen:2"),
            "{twice}"
        );
        let gpu = told(|e| e.ollama().residents[0].info.vram_bytes = Some(7));
        assert!(gpu.contains("llama:3b holds 7 bytes of a GPU"), "{gpu}");
        let old = told(|e| e.ollama().version = Some("0.22.0".to_owned()));
        assert!(old.contains("older than 0.30.0"), "{old}");
        assert!(old.ends_with("update Ollama"), "{old}");
    }

    #[test]
    fn a_client_that_bypasses_crucible_is_remarked() {
        let reloaded = told(|e| {
            let resident = &mut e.ollama().residents[0];
            resident.tuple = Some(Tuple {
                context: Some(8192),
                ..Tuple::default()
            });
        });
        assert!(
            reloaded.contains("with context 8192 and now has 4096"),
            "{reloaded}"
        );
        let vanished = told(|e| {
            let counters = e.counters.as_mut().unwrap();
            counters.vanished.insert("lmstudio".to_owned(), 3);
        });
        assert!(
            vanished.contains("lmstudio: models left its memory 3 times"),
            "{vanished}"
        );
    }

    #[test]
    fn the_process_is_looked_at() {
        let others = told(|e| e.process().others = vec![77]);
        assert!(others.contains("besides process 9 there are other `ollama serve` processes: 77"));
        let threads = told(|e| {
            e.machine.cores = Some(4);
            e.process().runners = vec![runner("--model /m -t 8")];
        });
        assert!(
            threads.contains("8 threads on 4 physical cores"),
            "{threads}"
        );
        let fictional = told(|e| {
            e.variables()
                .insert("OLLAMA_NUM_GPU".to_owned(), "0".to_owned());
        });
        assert!(fictional.contains("knows no such variable"), "{fictional}");
        assert!(fictional.contains("num_gpu: 0"), "{fictional}");
    }

    #[test]
    fn a_model_loaded_by_hand_with_enough_context_is_fine() {
        let mut evidence = all_right();
        let mut hand = held("hand");
        hand.owned = false;
        hand.info.context = Some(65_536);
        evidence.lmstudio().residents.push(hand);
        assert_eq!(remarks(&evidence), []);
    }
}
