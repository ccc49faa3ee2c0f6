//! The subject of a benchmark: an engine with one of its models, the plan and the driver.

use std::sync::Arc;

use crucible_config::{
    Config,
    checked::{EngineKind, Manage},
};
use crucible_router::view::View;

use super::{
    driver::{BenchDriver, BenchPlan},
    llamacpp, lmstudio, ollama,
    target::BenchTarget,
    unmanaged,
};
use crate::CommandFailure;

/// An engine with one of its models, the settings that are compared on it, and the driver that
/// loads and measures it.
pub(super) struct BenchSubject {
    pub(super) target: BenchTarget,
    pub(super) plan: BenchPlan,
    pub(super) driver: Box<dyn BenchDriver>,
}

// === impl BenchSubject ===

impl BenchSubject {
    /// Chooses the engine and the model, and the driver that the engine's kind needs. The result is
    /// an error where a load would evict a model that somebody else uses.
    pub(super) fn choose(
        config: Arc<Config>,
        name: Option<&str>,
        model: Option<&str>,
        view: &View,
    ) -> Result<Self, CommandFailure> {
        let target = BenchTarget::choose(config, name, model, view)?;
        let (plan, driver): (BenchPlan, Box<dyn BenchDriver>) = match target.engine.kind {
            EngineKind::Ollama => (
                ollama::plan(&target),
                Box::new(ollama::OllamaBench::new(&target)?),
            ),
            EngineKind::Lmstudio => (
                lmstudio::plan(&target),
                Box::new(lmstudio::LmstudioBench::new(&target)),
            ),
            EngineKind::Llamacpp if target.engine.manage == Manage::Spawn => (
                llamacpp::plan(&target),
                Box::new(llamacpp::LlamacppBench::new(&target)),
            ),
            EngineKind::Llamacpp | EngineKind::Openai => (
                unmanaged::plan(&target),
                Box::new(unmanaged::UnmanagedBench::new(&target)?),
            ),
        };
        Ok(Self {
            target,
            plan,
            driver,
        })
    }
}
