//! Rows 32-39.

use super::*;

const ON_GPU: Change = |e| e.ollama().residents[0].info.vram_bytes = Some(5);
const SOLE: Change = |e| e.ollama().device = Device::Gpu;

pub(super) static CASES: &[Case] = &[
    right(
        EnvironmentOllamaNumGpu,
        NOTHING,
        Superseded,
        "superseded by num_gpu: 0 in every request and preload: size_vram 0",
    ),
    wrong(
        EnvironmentOllamaNumGpu,
        ON_GPU,
        "llama:3b has 5 bytes",
        "ollama stop llama:3b",
    ),
    right(
        EnvironmentOllamaNumGpu,
        SOLE,
        NotApplicable,
        "no other GPU engine",
    ),
    right(
        EnvironmentOllamaNumGpu,
        |e| e.machine.on_gpu = Some(vec![77]),
        Superseded,
        "none of its processes computes on one; read from size_vram in GET /api/ps of Ollama, \
         NVIDIA's driver",
    ),
    wrong(
        EnvironmentOllamaNumGpu,
        |e| e.machine.on_gpu = Some(vec![77, 12]),
        "its process 12 computes on one; read from NVIDIA's driver",
        "crucible env --engine ollama",
    ),
    right(
        EnvironmentOllamaCpuTarget,
        NOTHING,
        Superseded,
        "OLLAMA_LLM_LIBRARY=cpu: size_vram 0",
    ),
    wrong(
        EnvironmentOllamaCpuTarget,
        ON_GPU,
        "llama:3b has 5 bytes",
        "ollama stop llama:3b",
    ),
    right(
        EnvironmentCudaVisibleDevices,
        NOTHING,
        InEffect,
        "found CUDA_VISIBLE_DEVICES=-1; read from /proc/9/environ",
    ),
    wrong(
        EnvironmentCudaVisibleDevices,
        |e| {
            e.variables().remove("CUDA_VISIBLE_DEVICES");
        },
        "CUDA_VISIBLE_DEVICES is not set",
        "crucible env --engine ollama",
    ),
    wrong(
        EnvironmentCudaVisibleDevices,
        ON_GPU,
        "llama:3b has 5 bytes",
        "ollama stop",
    ),
    hidden(
        EnvironmentCudaVisibleDevices,
        NO_PROCESS,
        "only the process shows it",
        "",
    ),
    right(
        EnvironmentOllamaMaxLoadedModels,
        NOTHING,
        InEffect,
        "found OLLAMA_MAX_LOADED_MODELS=2",
    ),
    wrong(
        EnvironmentOllamaMaxLoadedModels,
        |e| {
            e.variables()
                .insert("OLLAMA_MAX_LOADED_MODELS".to_owned(), "9".to_owned());
        },
        "asked 2; found OLLAMA_MAX_LOADED_MODELS=9",
        "restart Ollama",
    ),
    right(
        EnvironmentOllamaMaxLoadedModels,
        |e| {
            let mut embed = model("embed", "F16");
            embed.kind = ModelKind::Embedding;
            e.ollama().models = vec![embed].into();
            e.variables()
                .insert("OLLAMA_MAX_LOADED_MODELS".to_owned(), "3".to_owned());
        },
        InEffect,
        "asked 2, or 3 with the embedding model",
    ),
    right(
        EnvironmentOllamaMaxQueue,
        NOTHING,
        InEffect,
        "found OLLAMA_MAX_QUEUE=10",
    ),
    wrong(
        EnvironmentOllamaMaxQueue,
        |e| {
            e.variables().clear();
        },
        "OLLAMA_MAX_QUEUE is not set",
        "crucible env",
    ),
    right(
        EnvironmentOllamaNumParallel,
        NOTHING,
        InEffect,
        "found OLLAMA_NUM_PARALLEL=2",
    ),
    wrong(
        EnvironmentOllamaNumParallel,
        |e| {
            e.variables()
                .insert("OLLAMA_NUM_PARALLEL".to_owned(), "4".to_owned());
        },
        "found OLLAMA_NUM_PARALLEL=4",
        "crucible env",
    ),
    right(
        EnvironmentOllamaNumThreads,
        NOTHING,
        Superseded,
        "superseded by num_thread in every request and preload: 8",
    ),
    right(
        EnvironmentOllamaNumThreads,
        NO_PROCESS,
        Superseded,
        "see row 25",
    ),
    wrong(
        EnvironmentOllamaNumThreads,
        |e| e.argument("-t", Some("64")),
        "64, more than the 16",
        "ollama stop",
    ),
    right(
        EnvironmentOllamaNumaPolicy,
        NOTHING,
        NotApplicable,
        "one node",
    ),
    right(
        EnvironmentOllamaNumaPolicy,
        TWO_NODES,
        Superseded,
        "superseded by numactl or systemd's NUMAPolicy: interleaved",
    ),
    wrong(
        EnvironmentOllamaNumaPolicy,
        |e| {
            e.machine.nodes = Some(2);
            e.process().runners[0].interleaved = Ok(false);
        },
        "default policy",
        "NUMAPolicy=interleave",
    ),
];
