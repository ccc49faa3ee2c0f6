//! The subject of a benchmark: an engine with one of its models, the plan and the driver.

use std::sync::Arc;

use crucible_config::{
    Config,
    checked::{EngineKind, Manage},
};
use crucible_router::view::View;
use serde_json::Value;

use super::{
    driver::{BenchDriver, BenchPlan},
    llamacpp, lmstudio, ollama,
    target::BenchTarget,
    unmanaged::{self, UnmanagedBench},
};
use crate::CommandFailure;

/// An engine with one of its models, the settings that are compared on it, and the driver that
/// loads and measures it.
pub(super) struct BenchSubject {
    /// The engine and the model that are measured.
    pub(super) target: BenchTarget,
    /// The settings that are compared with one another, and those that stay as they are.
    pub(super) plan: BenchPlan,
    /// The driver that loads the model with a setting and measures it.
    pub(super) driver: Box<dyn BenchDriver>,
}

// === impl BenchSubject ===

impl BenchSubject {
    /// Chooses the engine and the model, and makes the plan and the driver that the engine's kind
    /// needs. `name` and `model` narrow the choice as in [`BenchTarget::choose`], whose errors are
    /// returned.
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
            EngineKind::Llamacpp => (
                unmanaged::plan(&target, llamacpp::NOT_STARTED_HERE),
                Box::new(UnmanagedBench::new(&target, llamacpp::body_fields())?),
            ),
            EngineKind::Openai => (
                unmanaged::plan(&target, unmanaged::NO_LOADS),
                Box::new(UnmanagedBench::new(&target, Value::Null)?),
            ),
        };
        Ok(Self {
            target,
            plan,
            driver,
        })
    }
}
