//! The trait of an engine that a benchmark measures, and the plan of what is compared on it.
//!
//! There is one [`BenchDriver`] for each way to control an engine: Ollama, LM Studio, a llama.cpp
//! server that Crucible starts, and any server that can only be asked.

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{
    stats::RunSample,
    tune::{TuneAxes, TunedKeys},
    variant::{BenchSetting, BenchVariant, FixedSetting},
};

/// The settings that a benchmark compares on an engine, and the axes that `--tune` searches.
pub(super) struct BenchPlan {
    /// The settings that are compared with one another.
    pub(super) variants: Vec<BenchVariant>,
    /// The settings that cannot vary on this engine, each with its reason.
    pub(super) fixed: Vec<FixedSetting>,
    /// The setting at which the search begins.
    pub(super) profile: BenchSetting,
    /// The keys of the configuration that a found setting is written to.
    pub(super) keys: TunedKeys,
    /// The axes of the search; all are empty where nothing can be searched.
    pub(super) axes: TuneAxes,
}

/// The reason why a run gave no sample. The text is a message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RunFailure {
    /// The engine refuses this setting; other settings may still work.
    Refused(String),
    /// No further run can succeed, so the benchmark ends.
    Final(String),
}

/// An engine that can be measured. A driver never unloads a model that it did not load itself.
pub(super) trait BenchDriver: Send + Sync {
    /// Loads the model with `setting` and measures it. The number `run` is part of the prompts, so
    /// that no run finds the prompt of another one in the engine's cache.
    fn measure<'a>(
        &'a self,
        setting: &'a BenchSetting,
        run: usize,
    ) -> BoxFuture<'a, Result<RunSample, RunFailure>>;

    /// Unloads the measured model, also after a `measure` that was dropped before its end.
    fn clear(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Returns the options that the engine receives for `setting`, as the report shows them.
    fn options(&self, setting: &BenchSetting) -> Value;

    /// Returns the engine's version where only a loaded engine states it, else `None`.
    fn version(&self) -> Option<String> {
        None
    }
}
