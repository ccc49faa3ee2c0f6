//! The published snapshot of the engines, as their polls reported them.

use std::sync::Arc;

use crucible_config::checked::{self, Device};

use crate::{
    catalog::{ModelInfo, ResidentInfo},
    discovery::SearchAddress,
    machine::MemoryLimit,
    view::{BreakerState, Cooldown, Health},
};

/// The snapshot of all engines at one moment.
#[derive(Clone, Debug, Default)]
pub struct FleetView {
    /// All engines, in configured order, then the discovered ones in the order in which they were
    /// found.
    pub engines: Vec<EngineStatus>,
    /// Whether every engine has answered or failed once, and every search address was tried.
    pub settled: bool,
    /// The addresses at which engines are searched for; empty where engines are configured.
    pub looked_at: Vec<SearchAddress>,
    /// The number of searches that are done.
    pub looks: u64,
}

/// The status of one engine after its last poll.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of an engine, not states"
)]
pub struct EngineStatus {
    /// The configuration of the engine: its name, permits, queue and all else.
    pub config: Arc<checked::EngineConfig>,
    /// The device, resolved to `Gpu` or `Cpu`. On Ollama, `Cpu` means `num_gpu: 0` in all load
    /// options.
    pub device: Device,
    /// The name of the memory pool that the engine's models share with those of other engines.
    pub pool: Arc<str>,
    /// The address for people, without credentials; empty while a child of Crucible does not run.
    pub url: String,
    /// The health of the engine, from its polls.
    pub health: Health,
    /// The state of the engine's circuit breaker.
    pub breaker: BreakerState,
    /// The cooldown, while the breaker is open.
    pub left_alone: Option<Cooldown>,
    /// Whether the engine takes requests and answers none, although its polls succeed.
    pub wedged: bool,
    /// The error of the last poll, in words; `None` after one that succeeded.
    pub error: Option<String>,
    /// Whether that error is that the engine wants a token, or another one.
    pub refused_access: bool,
    /// The version of the engine, where it reports one.
    pub version: Option<String>,
    /// The features that this version lacks, one sentence each.
    pub advice: Arc<Vec<String>>,
    /// Whether Crucible can load and unload models on the engine; else the engine loads by itself.
    pub load_control: bool,
    /// The number of models above which the engine unloads one by itself, where it reports one.
    pub max_loaded: Option<u32>,
    /// Whether the engine was found by a search and not configured.
    pub discovered: bool,
    /// The memory limit that the operating system enforces on the engine; `None` where Crucible did
    /// not start it.
    pub limit: Option<MemoryLimit>,
    /// The models of the last list, which is kept while the engine is down.
    pub models: Arc<Vec<ModelInfo>>,
    /// The loaded models of the last list. It is emptied once the engine is down, unless its
    /// process still lives: as a child of Crucible, or because connections are taken and not
    /// answered.
    pub residents: Arc<Vec<ResidentInfo>>,
    /// The number of polls so far, with the failed ones.
    pub polls: u64,
    /// The number of the poll that reported the residents.
    pub listed: u64,
}
