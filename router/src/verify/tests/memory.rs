//! Rows 1 and 24.

use super::*;
use crate::{
    machine::{GraphicsCard, NoMemoryLimit},
    view::Conflict,
};

/// Two models that take more than the pool may have.
const OVER: Change = |e| {
    let mut more = held("more");
    more.owned = false;
    e.lmstudio().residents.push(more);
    e.lmstudio().used = 16_000_000_000;
};

/// Crucible started it, and the system holds it to this.
fn started(evidence: &mut Evidence, memory_max: Option<u64>) {
    evidence.ollama().limit = Some(Ok(16_000_000_000));
    evidence.process().memory_max = Ok(memory_max);
}

fn not_limited(evidence: &mut Evidence) {
    evidence.ollama().limit = Some(Err(NoMemoryLimit {
        why: "Crucible's control group /x is shared with other processes, such as 9".to_owned(),
        fix: "systemd-run --user --scope -p Delegate=yes crucible serve",
    }));
}

fn by_driver(evidence: &mut Evidence, memory: u64) {
    evidence.config().pools.clear();
    evidence.machine.gpu = Some(GraphicsCard {
        memory,
        told_by: "NVIDIA's driver, NVML",
    });
}

pub(super) static CASES: &[Case] = &[
    right(
        LmstudioGpuMemoryFraction,
        NOTHING,
        InEffect,
        "asked at most 9.6 GB (0.8 of 12.0 GB); found pool gpu: budget 9.6 GB, used 8.0 GB in 1 \
         loaded model, largest seen 9.1 GB; read from the scheduler's account",
    ),
    right(
        LmstudioGpuMemoryFraction,
        |e| by_driver(e, 12_000_000_000),
        InEffect,
        "(GET /crucible/state), NVIDIA's driver, NVML",
    ),
    wrong(
        LmstudioGpuMemoryFraction,
        OVER,
        "used 16.0 GB in 2 loaded models, largest seen 16.0 GB",
        "evict_foreign",
    ),
    wrong(
        LmstudioGpuMemoryFraction,
        |e| by_driver(e, 8_000_000_000),
        "asked at most 6.4 GB (0.8 of 8.0 GB); found pool gpu: budget 9.6 GB",
        "restart Crucible",
    ),
    // A game holds some of the card.
    right(
        LmstudioGpuMemoryFraction,
        |e| (e.lmstudio().budget, e.lmstudio().others) = (Some(9_000_000_000), Some(3_000_000_000)),
        InEffect,
        "budget 9.0 GB, used 8.0 GB in 1 loaded model, largest seen 9.1 GB, other programs hold \
         3.0 GB",
    ),
    // The card of this machine says nothing of another one's.
    right(
        LmstudioGpuMemoryFraction,
        |e| {
            by_driver(e, 8_000_000_000);
            e.lmstudio().pool = "gpu@desk".into();
        },
        InEffect,
        "asked at most 9.6 GB; found pool gpu@desk",
    ),
    hidden(
        LmstudioGpuMemoryFraction,
        |e| {
            e.config().pools.clear();
            e.lmstudio().budget = None;
        },
        "cannot be read",
        "[pool.gpu] memory",
    ),
    right(
        LmstudioGpuMemoryFraction,
        |e| e.lmstudio().used = 20_000_000_000,
        InEffect,
        "loaded alone",
    ),
    wrong(
        LmstudioGpuMemoryFraction,
        |e| {
            e.lmstudio().conflicts.push(Conflict {
                found: "'big' is pinned and takes 20000 MB".to_owned(),
                fix: "raise `[pool.gpu] budget` or unpin one".to_owned(),
                of_memory: true,
                of_weights: false,
            });
        },
        "largest seen 9.1 GB; 'big' is pinned and takes 20000 MB",
        "raise `[pool.gpu] budget`",
    ),
    hidden(
        LmstudioGpuMemoryFraction,
        |e| e.counters = None,
        "no instance is running",
        "crucible serve",
    ),
    right(
        OllamaMemoryLimit,
        NOTHING,
        InEffect,
        "asked at most 16.0 GB; found pool cpu: budget 16.0 GB, used 3.0 GB in 1 loaded model, \
         largest seen 3.0 GB; its cgroup has 16.0 GB; read from the scheduler's account of its \
         pool (GET /crucible/state), memory.max of process 9",
    ),
    wrong(
        OllamaMemoryLimit,
        |e| e.machine.memory = Some(3_000_000_000),
        "asked at most 2.4 GB (the smaller of 16.0 GB and the machine's share); found pool cpu: \
         budget 16.0 GB",
        "restart Crucible",
    ),
    wrong(
        OllamaMemoryLimit,
        |e| {
            e.ollama().residents.push(held("b"));
            e.ollama().used = 17_000_000_000;
        },
        "used 17.0 GB in 2 loaded models",
        "wait: Crucible unloads",
    ),
    right(
        OllamaMemoryLimit,
        NO_PROCESS,
        InEffect,
        "largest seen 3.0 GB; read from",
    ),
    right(
        OllamaMemoryLimit,
        |e| started(e, Some(15_999_995_904)),
        InEffect,
        "its cgroup has 15.9 GB",
    ),
    wrong(
        OllamaMemoryLimit,
        |e| started(e, None),
        "its cgroup has no limit",
        "restart Crucible",
    ),
    wrong(
        OllamaMemoryLimit,
        not_limited,
        "the system does not limit its process: Crucible's control group /x is shared",
        "systemd-run --user --scope -p Delegate=yes crucible serve",
    ),
    hidden(
        OllamaMemoryLimit,
        |e| {
            started(e, None);
            NO_PROCESS(e);
        },
        "started in a cgroup with 16.0 GB, which cannot be read back",
        "",
    ),
    right(
        OllamaMemoryLimit,
        |e| {
            e.ollama().device = Device::Gpu;
            e.ollama().residents[0].info.vram_bytes = Some(2_500_000_000);
        },
        InEffect,
        "found 0.5 GB of main memory in 1 loaded model",
    ),
    wrong(
        OllamaMemoryLimit,
        |e| {
            e.ollama().device = Device::Gpu;
            e.ollama().residents[0].info.bytes = Some(17_000_000_000);
        },
        "found 17.0 GB of main memory",
        "ollama stop llama:3b",
    ),
];
