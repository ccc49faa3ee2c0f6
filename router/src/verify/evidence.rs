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

/// The outcomes of the last penalty probes, by the name of the LM Studio engine.
pub type Probes = HashMap<Arc<str>, PenaltyProbe>;

/// The facts that LM Studio's WebSocket API reports of loaded instances, by their identifiers.
pub type ReportedInstances = HashMap<Arc<str>, InstanceFacts>;

/// All that the checks may look at, read beforehand, so that a check is a pure function.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The configuration, which says what should be in effect; it is no evidence that it is.
    pub config: Arc<Config>,
    /// The published snapshot of the engines.
    pub view: Arc<View>,
    /// The counters of the running instance; `None` where none runs, so that the settings which
    /// Crucible itself enforces cannot be verified.
    pub counters: Option<Counters>,
    /// The hardware of the machine that Crucible runs on.
    pub machine: Hardware,
    /// The processes of Ollama engines, by engine; the error says why one cannot be read.
    pub processes: HashMap<Arc<str>, Readable<OllamaProcess>>,
    /// The ids of `GET /v1/models`, by LM Studio engine; the error says why they cannot be read.
    pub listed: HashMap<Arc<str>, Readable<Vec<String>>>,
    /// The facts of loaded models from the WebSocket API, by LM Studio engine with `websocket =
    /// true`; the error says why they cannot be read.
    pub reported: HashMap<Arc<str>, Readable<ReportedInstances>>,
    /// The outcomes of the last penalty probes, by LM Studio engine.
    pub probes: Probes,
    /// The outcomes of the last probes of contexts, by engine and instance.
    pub contexts: ContextProbes,
}

/// The counters of the running instance, from its start on.
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
    /// The number of polls that have ended, failed ones included, by engine.
    pub polls: BTreeMap<String, u64>,
    /// The number of models that were unloaded because they were idle, over all engines.
    pub expired: u64,
    /// The number of models that left an engine's memory without Crucible's order, by engine.
    pub vanished: BTreeMap<String, u64>,
    /// The number of requests in which a parameter was filled in, by the name of the parameter.
    pub injected: BTreeMap<String, u64>,
}

/// The outcome of the probe whether LM Studio takes `frequency_penalty` for its own repeat penalty,
/// where a small value rewards repetition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PenaltyProbe {
    /// Whether the text with a penalty of 0.1 repeated itself more than the one without.
    pub rewards_repetition: bool,
    /// The outcome in one sentence for people, with the share of different pieces in each text.
    pub words: String,
}
