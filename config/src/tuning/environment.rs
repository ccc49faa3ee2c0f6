//! Rows 32-39: environment of the Ollama process.

use super::{Group, Mechanism, Row};
use crate::kind::Kind;

const GPU: &str = "Ollama must not touch a GPU that another engine owns. Applies while an engine \
                   with `device = \"gpu\"` is configured or found; where Ollama is the only \
                   engine it gets the GPU. ";

const fn row(number: u8, id: &'static str, kind: Kind, value: &'static str) -> Row {
    Row {
        number,
        id,
        group: Group::Environment,
        kind,
        value,
        mechanism: Mechanism::ProcessEnvironment,
        short: "",
        meaning: "",
        verified: "",
        engines: "Ollama 0.33",
        superseded_by: None,
    }
}

const fn integer(min: i64) -> Kind {
    Kind::IntegerText {
        min,
        max: 1_000_000,
    }
}

pub(super) const ROWS: [Row; 8] = [
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "Layers of Ollama's models on a GPU.",
        meaning: GPU,
        verified: "`size_vram` 0 in `/api/ps`.",
        superseded_by: Some("`num_gpu: 0` in every request and preload"),
        ..row(32, "environment.OLLAMA_NUM_GPU", integer(-1), "0")
    },
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "Ollama computes on the CPU.",
        meaning: GPU,
        verified: "`size_vram` 0 in `/api/ps`.",
        superseded_by: Some(
            "`num_gpu: 0` in every request and preload, and `OLLAMA_LLM_LIBRARY=cpu` for a \
             supervised Ollama",
        ),
        ..row(33, "environment.OLLAMA_CPU_TARGET", Kind::Text, "cpu")
    },
    Row {
        short: "No NVIDIA GPU is visible to Ollama.",
        meaning: "Ollama must not touch a GPU that another engine owns. An empty value is lost on \
                  Windows and counts as unset in Ollama itself, so `crucible env` renders -1 and \
                  switches Vulkan and ROCm off too.",
        verified: "`/proc/PID/environ`; `size_vram` 0 in `/api/ps`.",
        ..row(34, "environment.CUDA_VISIBLE_DEVICES", Kind::Text, "")
    },
    Row {
        short: "The same intent as row 21.",
        meaning: "`[tuning.ollama] max_loaded_models` wins where one layer sets both.",
        verified: "As row 21; `/proc/PID/environ`.",
        ..row(35, "environment.OLLAMA_MAX_LOADED_MODELS", integer(1), "2")
    },
    Row {
        short: "The same intent as row 22.",
        meaning: "`[tuning.ollama] max_queue` wins where one layer sets both.",
        verified: "As row 22; `/proc/PID/environ`.",
        ..row(36, "environment.OLLAMA_MAX_QUEUE", integer(0), "10")
    },
    Row {
        short: "The same intent as row 23.",
        meaning: "`[tuning.ollama] num_parallel` wins where one layer sets both.",
        verified: "As row 23; `/proc/PID/environ`.",
        ..row(37, "environment.OLLAMA_NUM_PARALLEL", integer(1), "2")
    },
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "The same intent as row 25.",
        meaning: "`[tuning.ollama] num_threads` wins where one layer sets both.",
        verified: "As row 25.",
        superseded_by: Some("`num_thread` in every request and preload"),
        ..row(38, "environment.OLLAMA_NUM_THREADS", integer(1), "8")
    },
    Row {
        mechanism: Mechanism::OperatingSystem,
        short: "The same intent as row 26.",
        meaning: "`[tuning.ollama] numa_policy` wins where one layer sets both.",
        verified: "As row 26.",
        superseded_by: Some("numactl or systemd `NUMAPolicy`"),
        ..row(
            39,
            "environment.OLLAMA_NUMA_POLICY",
            super::ollama::NUMA,
            "spread",
        )
    },
];
