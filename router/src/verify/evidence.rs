//! The evidence for the checks: plain data that was read from engines, the system and Crucible
//! itself.

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

/// The outcomes of the last penalty probe, by LM Studio engine.
pub type Probes = HashMap<Arc<str>, PenaltyProbe>;

/// The facts that the WebSocket API reports of instances, by identifier.
pub type Instances = HashMap<Arc<str>, InstanceFacts>;

/// All evidence that a check may use.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The configuration, which says what is to be in effect.
    pub config: Arc<Config>,
    /// The published snapshot of the engines.
    pub view: Arc<View>,
    /// The counters of the running instance; `None` where none runs, so that the settings that
    /// Crucible itself enforces are not in effect.
    pub counters: Option<Counters>,
    /// The machine that Crucible runs on.
    pub machine: Hardware,
    /// The processes of Ollama engines, by engine name.
    pub processes: HashMap<Arc<str>, Readable<OllamaProcess>>,
    /// The model ids of `GET /v1/models`, by LM Studio engine.
    pub listed: HashMap<Arc<str>, Readable<Vec<String>>>,
    /// The facts that the WebSocket API reports of each loaded generation model, by LM Studio
    /// engine whose driver is on.
    pub told: HashMap<Arc<str>, Readable<Instances>>,
    /// The outcomes of the last penalty probe, by LM Studio engine.
    pub probes: Probes,
    /// The outcomes of the last probes of contexts.
    pub contexts: ContextProbes,
}

/// The counters of an instance since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The time since the start of the instance.
    pub uptime: Duration,
    /// The bytes of all streamed answers.
    pub stream_bytes: u64,
    /// The number of writes that these bytes took.
    pub stream_flushes: u64,
    /// The number of streams that ended because an engine fell silent.
    pub idle_timeouts: u64,
    /// The number of requests that were refused because a queue was full.
    pub queue_full: u64,
    /// Reads of each engine's state that succeeded or failed, by engine.
    pub polls: BTreeMap<String, u64>,
    /// Models that were unloaded for being idle, all engines together.
    pub expired: u64,
    /// Models that left an engine's memory without an order, by engine.
    pub vanished: BTreeMap<String, u64>,
    /// The number of requests in which a parameter was filled in, by its name.
    pub injected: BTreeMap<String, u64>,
}

/// Whether LM Studio treats `frequency_penalty` as an alias of its repeat penalty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PenaltyProbe {
    /// Whether a penalty of 0.1 made the text repeat itself more.
    pub rewards_repetition: bool,
    /// The texts that were compared, in words.
    pub words: String,
}
