//! Rows 21-23, 25-27 and 29-31.

use super::*;

pub(super) static CASES: &[Case] = &[
    right(
        OllamaMaxLoadedModels,
        NOTHING,
        InEffect,
        "found 1 loaded: llama:3b; read from GET /api/ps",
    ),
    wrong(
        OllamaMaxLoadedModels,
        |e| {
            let more = ["b", "c"].map(held);
            e.ollama().residents.extend(more);
        },
        "found 3 loaded",
        "wait: Crucible unloads",
    ),
    right(
        OllamaMaxQueue,
        NOTHING,
        InEffect,
        "asked at most 10 waiting; found 0 waiting",
    ),
    wrong(
        OllamaMaxQueue,
        |e| e.ollama().queued = 11,
        "found 11 waiting",
        "report it",
    ),
    right(
        OllamaNumParallel,
        NOTHING,
        InEffect,
        "found 2 slots in the runner 12; read from -np in /proc/12/cmdline",
    ),
    right(OllamaNumParallel, NO_PROCESS, InEffect, "found 0 in use"),
    wrong(
        OllamaNumParallel,
        |e| e.argument("-np", Some("1")),
        "found 1 slots in the runner 12",
        "crucible env --engine ollama",
    ),
    right(
        OllamaNumThreads,
        NOTHING,
        InEffect,
        "asked 8 threads; found 8; read from /proc/12/cmdline",
    ),
    right(
        OllamaNumThreads,
        |e| {
            e.machine.cores = Some(2);
            e.argument("-t", Some("2"));
        },
        InEffect,
        "asked 2 threads (8, clamped to the physical cores); found 2",
    ),
    wrong(
        OllamaNumThreads,
        |e| {
            e.machine.cores = Some(4);
        },
        "found 8, more than the 4 physical cores",
        "ollama stop llama:3b",
    ),
    wrong(
        OllamaNumThreads,
        |e| e.argument("-t", None),
        "the number is automatic",
        "ollama stop llama:3b",
    ),
    hidden(
        OllamaNumThreads,
        NO_PROCESS,
        "only the process shows it: it runs on another machine",
        "",
    ),
    right(
        OllamaNumaPolicy,
        NOTHING,
        NotApplicable,
        "one node; read from /sys/devices/system/node",
    ),
    right(
        OllamaNumaPolicy,
        TWO_NODES,
        InEffect,
        "found interleaved memory; read from /proc/12/numa_maps",
    ),
    wrong(
        OllamaNumaPolicy,
        |e| {
            e.machine.nodes = Some(2);
            e.process().runners[0].interleaved = Ok(false);
        },
        "memory of the default policy",
        "NUMAPolicy=interleave",
    ),
    right(
        OllamaContextSize,
        NOTHING,
        InEffect,
        "asked 4096 per request; found 4096 on llama:3b",
    ),
    wrong(
        OllamaContextSize,
        |e| e.ollama().residents[0].info.context = Some(2048),
        "found 2048 on llama:3b; read from context_length in GET /api/ps",
        "ollama stop llama:3b",
    ),
    right(OllamaBatchSize, NOTHING, InEffect, "asked 512; found 512"),
    wrong(
        OllamaBatchSize,
        |e| e.argument("-b", Some("2048")),
        "found 2048",
        "ollama stop llama:3b",
    ),
    right(
        OllamaUseMmap,
        NOTHING,
        InEffect,
        "on: the model file is mapped; read from /proc/12/maps",
    ),
    wrong(
        OllamaUseMmap,
        |e| e.argument("--load-mode", Some("none")),
        "off: --load-mode none; read from /proc/12/cmdline",
        "ollama stop llama:3b",
    ),
    wrong(
        OllamaUseMmap,
        |e| e.process().runners[0].mapped = Ok(false),
        "is not mapped",
        "ollama stop",
    ),
    right(
        OllamaUseMlock,
        NOTHING,
        Superseded,
        "0 kB locked; read from VmLck in /proc/12/status",
    ),
    wrong(
        OllamaUseMlock,
        |e| e.process().runners[0].locked = Ok(4096),
        "asked false; found 4096 kB locked",
        "LLAMA_ARG_LOAD_MODE",
    ),
    right(
        OllamaContextSize,
        |e| contexts(e, "ollama", "llama:3b", 4096, ContextVerdict::Cuts),
        InEffect,
        "found 4096 on llama:3b, so it was; read from context_length in GET /api/ps",
    ),
    wrong(
        OllamaContextSize,
        |e| contexts(e, "ollama", "llama:3b", 4096, ContextVerdict::Smaller),
        "found 4096 on llama:3b, but so it was; read from",
        "ollama stop llama:3b",
    ),
];
