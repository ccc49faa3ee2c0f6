//! The benchmark of an engine that Crucible can only send requests to: a llama.cpp server that
//! somebody else started, or any other OpenAI-compatible server. It is measured as it runs.

use crucible_config::checked::EngineKind;
use crucible_router::{engine::LoadTuple, transport::EngineAddress};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    chat::ChatMeter,
    driver::{BenchDriver, BenchPlan, RunFailure},
    llamacpp,
    stats::RunSample,
    target::BenchTarget,
    tune::TuneAxes,
    variant::{BenchSetting, BenchVariant, FixedSetting},
};
use crate::CommandFailure;

/// An engine that runs without Crucible, at its address.
pub(super) struct UnmanagedBench {
    chat: ChatMeter,
    address: EngineAddress,
    model: String,
}

/// Returns a plan with a single variant: the engine as it runs, with as many requests at once as
/// Crucible would send.
pub(super) fn plan(target: &BenchTarget) -> BenchPlan {
    let own = target.view.holds(&target.model.id);
    let slots = own.and_then(|resident| resident.info.parallel);
    let permits = target.engine.permits.max(1);
    let setting = BenchSetting {
        parallel: slots.map_or(permits, |slots| permits.min(slots.max(1))),
        ..BenchSetting::of(LoadTuple::default())
    };
    let why = match target.engine.kind {
        EngineKind::Llamacpp => {
            "Crucible did not start this llama.cpp, so it cannot be started anew with other flags; \
             an engine with manage = \"spawn\" can"
        }
        EngineKind::Openai | EngineKind::Ollama | EngineKind::Lmstudio => {
            "a plain OpenAI-compatible server has no API that loads a model"
        }
    };
    BenchPlan {
        variants: vec![BenchVariant {
            name: "as it runs".to_owned(),
            setting,
            against: None,
        }],
        fixed: vec![FixedSetting {
            setting: "all settings",
            why,
        }],
        profile: setting,
        axes: TuneAxes {
            notes: vec![why],
            ..TuneAxes::default()
        },
    }
}

// === impl UnmanagedBench ===

impl UnmanagedBench {
    /// Makes a driver for the engine at its address. The error is an address that cannot be used.
    pub(super) fn new(target: &BenchTarget) -> Result<Self, CommandFailure> {
        let extra = match target.engine.kind {
            EngineKind::Llamacpp => llamacpp::body_fields(),
            EngineKind::Openai | EngineKind::Ollama | EngineKind::Lmstudio => Value::Null,
        };
        Ok(Self {
            chat: ChatMeter::new(target.token(), extra),
            address: target.address()?,
            model: target.model.id.to_string(),
        })
    }
}

impl BenchDriver for UnmanagedBench {
    fn measure<'a>(
        &'a self,
        setting: &'a BenchSetting,
        run: usize,
    ) -> BoxFuture<'a, Result<RunSample, RunFailure>> {
        let asked = self
            .chat
            .measure(&self.address, &self.model, setting.parallel, run);
        Box::pin(async move { asked.await.map_err(RunFailure::Final) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn options(&self, setting: &BenchSetting) -> Value {
        json!({"parallel": setting.parallel})
    }
}
