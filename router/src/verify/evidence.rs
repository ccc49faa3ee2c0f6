//! What was read of engines, system and Crucible itself: plain data.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crucible_config::Config;
use serde::{Deserialize, Serialize};

use super::probe::context::ContextProbes;
use crate::{
    engine::InstanceFacts,
    machine::{Hardware, Readable, ollama_process::OllamaProcess},
    view::View,
};

/// Outcome of the last penalty probe, by LM Studio engine.
pub type Probes = HashMap<Arc<str>, PenaltyProbe>;

/// What the WebSocket API tells of instances, by identifier.
pub type Instances = HashMap<Arc<str>, InstanceFacts>;

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
    pub machine: Hardware,
    /// Processes of Ollama engines, by engine name.
    pub processes: HashMap<Arc<str>, Readable<OllamaProcess>>,
    /// Ids of `GET /v1/models`, by LM Studio engine.
    pub listed: HashMap<Arc<str>, Readable<Vec<String>>>,
    /// What the WebSocket API tells of each generation model, by LM Studio engine whose driver is
    /// on.
    pub told: HashMap<Arc<str>, Readable<Instances>>,
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

/// Whether LM Studio treats `frequency_penalty` as an alias of its repeat penalty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PenaltyProbe {
    /// 0.1 made the text repeat itself more.
    pub rewards_repetition: bool,
    /// What was compared.
    pub words: String,
}
