//! Every fault in a world that has it and in one that almost has it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crucible_config::checked::{Device, Manage};

use super::{
    super::testing::{all_right, held, runner},
    *,
};
use crate::{engine::IdleTtl, verify::probe::context::ContextProbe, view::Conflict};

type Change = fn(&mut Evidence);

/// One world.
struct Case {
    fault: &'static str,
    change: Change,
    /// Parts of asked, found, where and the fix; `None`: nothing is said.
    says: Option<[&'static str; 4]>,
}

const fn there(fault: &'static str, change: Change, says: [&'static str; 4]) -> Case {
    Case {
        fault,
        change,
        says: Some(says),
    }
}

const fn not_there(fault: &'static str, change: Change) -> Case {
    Case {
        fault,
        change,
        says: None,
    }
}

/// The WebSocket driver is on and told this idle clock of qwen, which is not Crucible's.
fn clocked(evidence: &mut Evidence, ttl: IdleTtl) {
    evidence.lmstudio().residents[0].owned = false;
    let told = crate::engine::InstanceFacts {
        ttl,
        ..Default::default()
    };
    let told = HashMap::from([(Arc::from("qwen"), told)]);
    evidence.reported.insert(Arc::from("lmstudio"), Ok(told));
}

fn loaded_by_another(evidence: &mut Evidence, context: u64) {
    let resident = &mut evidence.ollama().residents[0];
    resident.owned = false;
    resident.tuple = None;
    resident.info.context = Some(context);
}

fn conflict(evidence: &mut Evidence, of_weights: bool) {
    evidence.ollama().conflicts.push(Conflict {
        found: "'a' and 'b' differ".to_owned(),
        fix: "ask for one".to_owned(),
        of_memory: false,
        of_weights,
    });
}

fn probed(evidence: &mut Evidence, kind: EngineKind, verdict: ContextVerdict) {
    let engine = evidence.engine(kind);
    let instance = engine.residents[0].info.instance.to_string();
    let probe = ContextProbe {
        stated: 4096,
        verdict,
        words: "what was found".to_owned(),
    };
    let found = (engine.name.to_string(), BTreeMap::from([(instance, probe)]));
    evidence.contexts.extend([found]);
}

/// A llama.cpp instead of Ollama, with one slot.
fn llamacpp(evidence: &mut Evidence) {
    let engine = evidence.ollama();
    engine.kind = EngineKind::Llamacpp;
    engine.residents[0].info.parallel = Some(1);
}

const HOUR: Duration = Duration::from_secs(3600);

static CASES: &[Case] = &[
    there(
        "old_version",
        |e| e.ollama().version = Some("0.22.0".to_owned()),
        [
            "version 0.30.0 or newer",
            "version 0.22.0: models do not run in llama.cpp's server",
            "the version that http",
            "update Ollama",
        ],
    ),
    not_there("old_version", |e| {
        e.ollama().version = Some("0.30.0".to_owned());
    }),
    there(
        "silent_cut",
        |e| probed(e, EngineKind::Ollama, ContextVerdict::Cuts),
        [
            "an error for a prompt that does not fit",
            "llama:3b states a context of 4096: what was found",
            "crucible doctor --probe",
            "update Ollama",
        ],
    ),
    not_there("silent_cut", |e| {
        probed(e, EngineKind::Ollama, ContextVerdict::Holds);
    }),
    // It was loaded anew since.
    not_there("silent_cut", |e| {
        probed(e, EngineKind::Ollama, ContextVerdict::Cuts);
        e.ollama().residents[0].info.context = Some(8192);
    }),
    there(
        "smaller_context",
        |e| {
            llamacpp(e);
            probed(e, EngineKind::Llamacpp, ContextVerdict::Smaller);
        },
        [
            "the context that it states",
            "llama:3b states a context of 4096: what was found",
            "crucible doctor --probe",
            "-c that is meant",
        ],
    ),
    not_there("smaller_context", |e| {
        llamacpp(e);
        probed(e, EngineKind::Llamacpp, ContextVerdict::Holds);
    }),
    there(
        "no_load_control",
        |e| e.lmstudio().load_control = false,
        [
            "REST v1",
            "it loads models by itself",
            "GET /api/v1/models",
            "update LM Studio",
        ],
    ),
    not_there("no_load_control", |e| {
        let url = "http://127.0.0.1:1".parse().unwrap();
        let mut block = e.config.discovered(EngineKind::Lmstudio, "lmstudio", url);
        block.manage = Manage::Observe;
        e.config().engines.push(block);
        e.lmstudio().load_control = false;
    }),
    there(
        "auto_evict",
        |e| clocked(e, IdleTtl::After(HOUR)),
        [
            "models that Crucible loads",
            "LM Studio loaded qwen by itself (its idle clock is 3600 s): auto-evict ends it",
            "listLoaded",
            "lms unload qwen",
        ],
    ),
    // Loaded by hand.
    not_there("auto_evict", |e| clocked(e, IdleTtl::Never)),
    // Loaded by Crucible.
    not_there("auto_evict", |e| {
        clocked(e, IdleTtl::After(HOUR));
        e.lmstudio().residents[0].owned = true;
    }),
    // Switched off.
    not_there("auto_evict", |e| {
        clocked(e, IdleTtl::After(HOUR));
        e.config().tuning.lmstudio.auto_evict = false;
    }),
    there(
        "other_context",
        |e| {
            let resident = &mut e.lmstudio().residents[0];
            resident.owned = false;
            resident.info.context = Some(2048);
        },
        [
            "4096 per request, 8192 for 2 requests",
            "2048 on qwen, loaded by just-in-time loading or by hand",
            "GET /api/v1/models",
            "lms unload qwen",
        ],
    ),
    not_there("other_context", |e| {
        let mut hand = held("hand");
        hand.owned = false;
        hand.info.context = Some(65_536);
        e.lmstudio().residents.push(hand);
    }),
    there(
        "second_instance",
        |e| {
            let mut second = e.lmstudio().residents[0].clone();
            second.info.instance = Arc::from("qwen:2");
            e.lmstudio().residents.push(second);
        },
        [
            "one instance of qwen",
            "qwen is loaded more than once: qwen:2",
            "GET /api/v1/models",
            "lms unload qwen:2",
        ],
    ),
    not_there("second_instance", |e| {
        let mut other = e.lmstudio().residents[0].clone();
        other.info.model = Arc::from("qwen:2");
        other.info.instance = Arc::from("qwen:2");
        e.lmstudio().residents.push(other);
    }),
    there(
        "bypassed",
        |e| vanished(e, "lmstudio", 3),
        [
            "stay until Crucible unloads them",
            "models left its memory 3 times without Crucible's order",
            "crucible_model_evictions_total",
            "point the clients of http",
        ],
    ),
    not_there("bypassed", |e| vanished(e, "lmstudio", 0)),
    // Ollama's own clock ends models.
    not_there("bypassed", |e| vanished(e, "ollama", 3)),
    there(
        "reloaded",
        |e| loaded_by_another(e, 8192),
        [
            "4096 per request",
            "llama:3b has 8192 and was not loaded by Crucible: a client that bypasses",
            "GET /api/ps",
            "ollama stop llama:3b, and point that client at Crucible's address",
        ],
    ),
    // As Crucible would have loaded it.
    not_there("reloaded", |e| loaded_by_another(e, 4096)),
    // Crucible's own, grown.
    not_there("reloaded", |e| {
        e.ollama().residents[0].info.context = Some(8192);
    }),
    // Without an instance nothing was loaded by one.
    not_there("reloaded", |e| {
        loaded_by_another(e, 8192);
        e.counters = None;
    }),
    there(
        "gpu_memory",
        |e| e.ollama().residents[0].info.vram_bytes = Some(7),
        [
            "0 bytes",
            "llama:3b holds 7 bytes of a GPU that another engine owns",
            "size_vram in GET /api/ps",
            "ollama stop llama:3b",
        ],
    ),
    not_there("gpu_memory", |e| {
        let ollama = e.ollama();
        ollama.device = Device::Gpu;
        ollama.residents[0].info.vram_bytes = Some(7);
    }),
    there(
        "shared_weights",
        |e| conflict(e, true),
        [
            "the same options for all names",
            "'a' and 'b' differ",
            "POST /api/show",
            "ask for one",
        ],
    ),
    not_there("shared_weights", |e| conflict(e, false)),
    there(
        "other_servers",
        |e| e.process().others = vec![77, 78],
        [
            "one `ollama serve`",
            "besides process 9 there are others: 77, 78",
            "/proc",
            "kill 77 78",
        ],
    ),
    not_there("other_servers", |e| e.process().pid = 77),
    there(
        "too_many_threads",
        |e| {
            e.machine.cores = Some(4);
            e.process().runners = vec![runner("--model /m -t 8")];
        },
        [
            "at most 4 threads",
            "runner 12 computes with 8",
            "/proc/12/cmdline",
            "tuning.ollama.num_threads = 4",
        ],
    ),
    not_there("too_many_threads", |e| {
        e.machine.cores = Some(8);
        e.process().runners = vec![runner("--model /m -t 8")];
    }),
    there(
        "fictional_variable",
        |e| variable(e, "OLLAMA_NUM_GPU"),
        [
            "variables that Ollama knows",
            "OLLAMA_NUM_GPU is in its environment, and Ollama knows no such variable",
            "/proc/9/environ",
            "num_gpu: 0",
        ],
    ),
    not_there("fictional_variable", |e| {
        variable(e, "OLLAMA_LLM_LIBRARY");
    }),
];

fn vanished(evidence: &mut Evidence, engine: &str, times: u64) {
    let counters = evidence.counters.as_mut().unwrap();
    counters.vanished.insert(engine.to_owned(), times);
}

fn variable(evidence: &mut Evidence, name: &str) {
    let variables = evidence.variables();
    variables.insert(name.to_owned(), "0".to_owned());
}

#[test]
fn where_all_is_right_there_is_nothing_to_remark() {
    assert_eq!(engine_faults(&all_right()), []);
}

#[test]
fn each_fault_is_told_where_it_is_and_nowhere_else() {
    for case in CASES {
        let mut evidence = all_right();
        (case.change)(&mut evidence);
        let told = engine_faults(&evidence);
        let Some([asked, found, read_from, fix]) = case.says else {
            assert_eq!(told, [], "{}", case.fault);
            continue;
        };
        assert_eq!(told.len(), 1, "{}: {told:?}", case.fault);
        let told = &told[0];
        assert_eq!(told.fault, case.fault);
        for (part, whole) in [
            (asked, &told.asked),
            (found, &told.found),
            (read_from, &told.read_from),
            (fix, &told.fix),
        ] {
            assert!(whole.contains(part), "{}: {part}: {whole}", case.fault);
        }
    }
}

#[test]
fn no_fault_is_without_both_cases_and_its_line_in_the_docs() {
    let page = include_str!("../../../../docs/doctor.md");
    for fault in &FAULTS {
        let line = format!("\n| `{}` |", fault.name);
        assert!(page.contains(&line), "docs/doctor.md has no {}", fault.name);
        let of = |said: bool| {
            let mut cases = CASES.iter();
            cases.any(|c| c.fault == fault.name && c.says.is_some() == said)
        };
        assert!(of(true), "no case has the fault {}", fault.name);
        assert!(of(false), "no case is without the fault {}", fault.name);
    }
    for name in down::FAULTS {
        let line = format!("\n| `{name}` |");
        assert!(page.contains(&line), "docs/doctor.md has no {name}");
    }
    let known = |case: &Case| FAULTS.iter().any(|f| f.name == case.fault);
    assert!(
        CASES.iter().all(known),
        "a case of a fault that is not there"
    );
}

#[test]
fn of_an_engine_that_is_down_nothing_else_is_known() {
    let mut evidence = all_right();
    evidence.ollama().version = Some("0.22.0".to_owned());
    evidence.ollama().health = crate::view::Health::Down;
    let told = engine_faults(&evidence);
    let faults: Vec<&str> = told.iter().map(|told| told.fault).collect();
    assert_eq!(faults, ["down"]);
}
