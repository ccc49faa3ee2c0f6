//! Rows 21-31: Ollama.

use super::{Group, Mechanism, Row};
use crate::kind::Kind;

const ENGINES: &str = "Ollama 0.33";
/// Values of rows 26 and 39.
pub(super) const NUMA: Kind = Kind::OneOf(&["spread", "none"]);

const fn row(number: u8, id: &'static str, kind: Kind, value: &'static str) -> Row {
    Row {
        number,
        id,
        group: Group::Ollama,
        kind,
        value,
        mechanism: Mechanism::Policy,
        short: "",
        meaning: "",
        verified: "",
        engines: ENGINES,
        superseded_by: None,
    }
}

pub(super) const ROWS: [Row; 11] = [
    Row {
        short: "Generation models resident at once.",
        meaning: "Enforced by Crucible, besides being put into Ollama's environment (row 35). \
                  Where an embedding model is configured, the rendered variable is one higher.",
        verified: "Length of `/api/ps`.",
        ..row(
            21,
            "ollama.max_loaded_models",
            Kind::Integer { min: 1, max: 1000 },
            "2",
        )
    },
    Row {
        short: "Requests that may wait for an Ollama engine.",
        meaning: "Ollama's own limit does not bound the backlog of a loaded model, so Crucible \
                  keeps the queue: one more is 429 `queue_full`.",
        verified: "Crucible's queue counters.",
        ..row(
            22,
            "ollama.max_queue",
            Kind::Integer {
                min: 0,
                max: 1_000_000,
            },
            "10",
        )
    },
    Row {
        short: "Requests answered at once by one resident.",
        meaning: "The permits of an Ollama engine that sets none itself, and the value of row 37.",
        verified: "Crucible's permit counters; `-np` on the runner's command line.",
        ..row(
            23,
            "ollama.num_parallel",
            Kind::Integer { min: 1, max: 4096 },
            "2",
        )
    },
    Row {
        short: "Main memory that Ollama's models may use together.",
        meaning: "The budget of the main-memory pool is the smaller of this and 0.8 of the \
                  machine's memory, enforced when a model is loaded; for a supervised Ollama on \
                  Linux also a cgroup limit.",
        verified: "The scheduler's account of the pool: budget in force, used, largest seen; \
                   `memory.max` of the cgroup.",
        ..row(
            24,
            "ollama.memory_limit",
            Kind::Size {
                min: 1,
                max: i64::MAX as u64,
            },
            "16GB",
        )
    },
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "Threads of a CPU model.",
        meaning: "Sent as `num_thread`, the smaller of this and the number of physical cores: one \
                  thread too many costs a factor of ten and more.",
        verified: "`-t` on the runner's command line.",
        ..row(
            25,
            "ollama.num_threads",
            Kind::Integer { min: 1, max: 4096 },
            "8",
        )
    },
    Row {
        mechanism: Mechanism::OperatingSystem,
        short: "Memory placement on machines with several NUMA nodes.",
        meaning: "Where there is more than one node: interleave (numactl or systemd \
                  `NUMAPolicy`). On one node it does not apply.",
        verified: "`/proc/PID/numa_maps`.",
        ..row(26, "ollama.numa_policy", NUMA, "spread")
    },
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "Context per request, of a model that nothing else configures.",
        meaning: "Sent as `num_ctx` in every request and preload of the model, the same each \
                  time. As row 13 otherwise.",
        verified: "`context_length` in `/api/ps`; a prompt that is to fit and one that is not, of \
                   `doctor --probe`.",
        ..row(
            27,
            "ollama.context_size",
            Kind::Integer {
                min: 1,
                max: 1 << 30,
            },
            "4096",
        )
    },
    Row {
        mechanism: Mechanism::ModelChoice,
        short: "Preferred quantization of models.",
        meaning: "Where several quantizations of one model are there, this one is preferred when \
                  the name leaves it open; otherwise a check with a warning.",
        verified: "Where Crucible sends a name that leaves it open; `details.quantization_level` in \
                   `/api/tags`, of what is loaded.",
        ..row(28, "ollama.quantization", Kind::Text, "q4_0")
    },
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "Tokens evaluated per batch.",
        meaning: "Sent as `num_batch`; left out for embedding models, which would refuse long \
                  inputs.",
        verified: "`-b` on the runner's command line.",
        ..row(
            29,
            "ollama.batch_size",
            Kind::Integer {
                min: 1,
                max: 65_536,
            },
            "512",
        )
    },
    Row {
        mechanism: Mechanism::OllamaOptions,
        short: "Map the model file instead of reading it.",
        meaning: "Sent as `use_mmap`, explicitly: Ollama's own default on a CPU is off.",
        verified: "No `--load-mode none` on the runner's command line, the model's blob in \
                   `/proc/PID/maps`.",
        ..row(30, "ollama.use_mmap", Kind::Boolean, "true")
    },
    Row {
        mechanism: Mechanism::None,
        short: "Lock the model in memory.",
        meaning: "The option was removed from Ollama; off is its only state, and nothing is sent.",
        verified: "`VmLck: 0` in `/proc/PID/status`.",
        superseded_by: Some("Ollama's load mode, in which locking is off"),
        ..row(31, "ollama.use_mlock", Kind::Boolean, "false")
    },
];
