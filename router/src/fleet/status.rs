//! What is published of the engines.

use std::sync::Arc;

use crucible_config::checked::{self, Device};

use crate::{
    catalog::{ModelInfo, ResidentInfo},
    discovery::SearchAddress,
    machine::MemoryLimit,
    view::{BreakerState, Cooldown, Health},
};

/// The published snapshot.
#[derive(Clone, Debug, Default)]
pub struct FleetView {
    /// In configured order, then discovered ones in order of their finding.
    pub engines: Vec<EngineStatus>,
    /// Every engine has answered or failed once, and every default port was looked at.
    pub settled: bool,
    /// Where engines are looked for; empty where some are configured.
    pub looked_at: Vec<SearchAddress>,
    /// How often engines were looked for.
    pub looks: u64,
}

/// What is known of one engine.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of an engine, not states"
)]
pub struct EngineStatus {
    /// Name, permits, queue and all else configured.
    pub config: Arc<checked::Engine>,
    /// Resolved: `Gpu` or `Cpu`. On Ollama, `Cpu` means `num_gpu: 0` in every tuple.
    pub device: Device,
    /// Pool name.
    pub pool: Arc<str>,
    /// For people; without credentials. A spawned engine's only while it runs.
    pub url: String,
    /// Health.
    pub health: Health,
    /// Circuit breaker of the data path.
    pub breaker: BreakerState,
    /// While that is open.
    pub left_alone: Option<Cooldown>,
    /// It takes requests and answers none, though its polls are well.
    pub wedged: bool,
    /// What was wrong with the last poll, in words.
    pub error: Option<String>,
    /// That is that it wants a token, or another one.
    pub refused_access: bool,
    /// Version, where told.
    pub version: Option<String>,
    /// What that version lacks.
    pub advice: Arc<Vec<String>>,
    /// Whether loads are controlled.
    pub load_control: bool,
    /// Most models that it holds at a time before it unloads one by itself, where it tells.
    pub max_loaded: Option<u32>,
    /// Found on a default port.
    pub discovered: bool,
    /// What the system holds its memory to, where Crucible started it.
    pub limit: Option<MemoryLimit>,
    /// As listed last; kept while it is down.
    pub models: Arc<Vec<ModelInfo>>,
    /// As listed last; empty once it is down, unless something still lives there: its child, or what
    /// takes connections and does not answer.
    pub residents: Arc<Vec<ResidentInfo>>,
    /// Polls so far, failed ones too.
    pub polls: u64,
    /// Number of the poll that told the residents.
    pub listed: u64,
}
