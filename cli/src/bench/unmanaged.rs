//! The benchmark of an engine that Crucible can only send requests to: a llama.cpp server that
//! somebody else started, or any other OpenAI-compatible server. It is measured as it runs.

use crucible_router::{engine::LoadTuple, transport::EngineAddress};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    chat::ChatMeter,
    driver::{BenchDriver, BenchPlan, RunFailure},
    stats::RunSample,
    target::BenchTarget,
    tune::{TuneAxes, TunedKeys},
    variant::{BenchSetting, BenchVariant, FixedSetting},
};
use crate::CommandFailure;

/// An engine that runs without Crucible, at its address.
pub(super) struct UnmanagedBench {
    chat: ChatMeter,
    address: EngineAddress,
    model: String,
}

/// The reason why a server that only answers is measured as it runs.
pub(super) const NO_LOADS: &str = "a plain OpenAI-compatible server has no API that loads a model";

/// Returns a plan with a single variant: the engine as it runs, with as many requests at once as
/// Crucible would send. `why` says why nothing else can be measured.
pub(super) fn plan(target: &BenchTarget, why: &'static str) -> BenchPlan {
    let own = target.view.holds(&target.model.id);
    let slots = own.and_then(|resident| resident.info.parallel);
    let permits = target.engine.permits.max(1);
    let setting = BenchSetting {
        parallel: slots.map_or(permits, |slots| permits.min(slots.max(1))),
        ..BenchSetting::of(LoadTuple::default())
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
        keys: TunedKeys::FLAGS,
        axes: TuneAxes {
            notes: vec![why],
            ..TuneAxes::default()
        },
    }
}

// === impl UnmanagedBench ===

impl UnmanagedBench {
    /// Makes a driver for the engine at its address, which gets `fields` beside the members of every
    /// request. The error is an address that cannot be used.
    pub(super) fn new(target: &BenchTarget, fields: Value) -> Result<Self, CommandFailure> {
        Ok(Self {
            chat: ChatMeter::new(target.token(), fields),
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
