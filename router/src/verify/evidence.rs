//! What was read of engines, system and Crucible itself: plain data.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crucible_config::Config;
use serde::{Deserialize, Serialize};

use super::probe::context::ContextProbes;
use crate::{engine::Told, view::View};

/// Something that was read, or why it could not be.
pub type Reading<T> = Result<T, String>;

/// Variables of a process.
pub type Environment = BTreeMap<String, String>;

/// Outcome of the last penalty probe, by LM Studio engine.
pub type Probes = HashMap<Arc<str>, PenaltyProbe>;

/// What the WebSocket API tells of instances, by identifier.
pub type Instances = HashMap<Arc<str>, Told>;

/// Everything that a check may look at.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What is asked for.
    pub config: Arc<Config>,
    /// What the engines told last.
    pub view: Arc<View>,
    /// What the running instance counted; `None` where none runs, so that nobody enforces
    /// Crucible's own rows.
    pub counters: Option<Counters>,
    /// The machine that Crucible runs on.
    pub machine: Machine,
    /// Processes of Ollama engines, by engine name.
    pub processes: HashMap<Arc<str>, Reading<Process>>,
    /// Ids of `GET /v1/models`, by LM Studio engine.
    pub listed: HashMap<Arc<str>, Reading<Vec<String>>>,
    /// What the WebSocket API tells of each generation model, by LM Studio engine whose driver is
    /// on.
    pub told: HashMap<Arc<str>, Reading<Instances>>,
    /// Outcome of the last penalty probe, by LM Studio engine.
    pub probes: Probes,
    /// Outcome of the last probes of contexts.
    pub contexts: ContextProbes,
}

/// What an instance counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Since its start.
    pub uptime: Duration,
    /// Bytes of streamed answers.
    pub stream_bytes: u64,
    /// Writes that they took.
    pub stream_flushes: u64,
    /// Streams that ended because an engine fell silent.
    pub idle_timeouts: u64,
    /// Requests refused because a queue was full.
    pub queue_full: u64,
    /// Reads of each engine's state that succeeded or failed, by engine.
    pub polls: BTreeMap<String, u64>,
    /// Models that were unloaded for being idle, all engines together.
    pub expired: u64,
    /// Models that left an engine's memory without an order, by engine.
    pub vanished: BTreeMap<String, u64>,
    /// Parameters filled in, by name.
    pub injected: BTreeMap<String, u64>,
}

/// The machine; `None` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Physical cores.
    pub cores: Option<u32>,
    /// NUMA nodes.
    pub nodes: Option<u32>,
    /// Main memory in bytes.
    pub memory: Option<u64>,
    /// The largest graphics card, where kernel or driver tell of one.
    pub gpu: Option<Gpu>,
    /// Process ids of all that compute on NVIDIA's cards; `None` where nobody tells.
    pub on_gpu: Option<Vec<u32>>,
}

/// A graphics card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its memory in bytes.
    pub memory: u64,
    /// Who told it.
    pub told_by: &'static str,
}

/// An `ollama serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Its variables.
    pub environment: Reading<Environment>,
    /// `memory.max` of its cgroup, the smallest up to the root; `None`: no limit.
    pub memory_max: Reading<Option<u64>>,
    /// Its children that hold models.
    pub runners: Vec<Runner>,
    /// Other `ollama serve` processes of this machine.
    pub others: Vec<u32>,
}

/// A child of Ollama that holds one model (llama.cpp's server since 0.30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// Process id.
    pub pid: u32,
    /// Command line without the program.
    pub arguments: Vec<String>,
    /// Whether the model file is mapped.
    pub mapped: Reading<bool>,
    /// Locked memory in kB.
    pub locked: Reading<u64>,
    /// Whether any of its memory is interleaved over NUMA nodes.
    pub interleaved: Reading<bool>,
}

/// Whether LM Studio treats `frequency_penalty` as an alias of its repeat penalty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PenaltyProbe {
    /// 0.1 made the text repeat itself more.
    pub rewards_repetition: bool,
    /// What was compared.
    pub words: String,
}

// === impl Runner ===

impl Runner {
    /// The value after the first of these flags.
    pub fn value(&self, flags: &[&str]) -> Option<&str> {
        let at = self
            .arguments
            .iter()
            .position(|a| flags.contains(&a.as_str()))?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// Whether one of these flags is there.
    pub fn has(&self, flags: &[&str]) -> bool {
        self.arguments.iter().any(|a| flags.contains(&a.as_str()))
    }

    /// It makes vectors; its batch and slots are its own.
    pub fn embeds(&self) -> bool {
        self.has(&["--embedding", "--embeddings"])
    }
}
