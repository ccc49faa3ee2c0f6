//! The benchmark of an Ollama. Most settings are options of a request. An Ollama that somebody else
//! started keeps its environment; one with `manage = "spawn"` is restarted for settings that Ollama
//! reads from its environment.

mod api;
mod child;

use crucible_config::checked::Manage;
use crucible_router::{
    engine::{LoadTuple, ollama_options},
    machine::physical_cores,
};
use futures_util::future::BoxFuture;
use serde_json::Value;

use self::{api::OllamaApi, child::OllamaChild};
use super::{
    driver::{BenchDriver, BenchPlan, RunFailure},
    stats::RunSample,
    target::BenchTarget,
    tune::{self, TuneAxes, TunedKey, TunedKeys},
    variant::{BenchSetting, FixedSetting, SettingChange, variants},
};
use crate::CommandFailure;

/// The changes that are options of a request.
const CHANGES: [SettingChange; 4] = [
    SettingChange::Threads,
    SettingChange::Batch,
    SettingChange::Context,
    SettingChange::Mmap,
];
/// The changes that are variables of the environment, which needs a new process.
const STARTED: [SettingChange; 3] = [
    SettingChange::FlashAttention,
    SettingChange::Cache,
    SettingChange::Parallel,
];
/// The settings that cannot vary on an Ollama that Crucible did not start: Ollama 0.33 reads them
/// from its environment when it starts.
const FIXED: [FixedSetting; 3] = [
    FixedSetting {
        setting: "flash attention",
        why: "OLLAMA_FLASH_ATTENTION is read when Ollama starts; bench does not restart it",
    },
    FixedSetting {
        setting: "K/V type",
        why: "OLLAMA_KV_CACHE_TYPE is read when Ollama starts; bench does not restart it",
    },
    FixedSetting {
        setting: "parallel",
        why: "OLLAMA_NUM_PARALLEL is read when Ollama starts; bench does not restart it",
    },
];
const NOTE: &str = "parallel was not searched: Ollama reads OLLAMA_NUM_PARALLEL when it starts";

/// An Ollama with the model that is measured.
pub(super) struct OllamaBench {
    server: MeasuredOllama,
}

/// The process that is measured, by the one who starts it.
enum MeasuredOllama {
    /// A process that somebody else started, with the environment that it has.
    Running(OllamaApi),
    /// A process that the benchmark starts and restarts.
    Child(Box<OllamaChild>),
}

/// The keys that a found setting is written to.
pub(super) const KEYS: TunedKeys = TunedKeys {
    table: "[tuning.ollama]",
    threads: true,
    batch: TunedKey::Table,
    parallel: TunedKey::Table,
};

/// Returns the plan for an Ollama. Options of a request always vary; those that Ollama reads from
/// its environment vary only where the benchmark starts the process (`manage = "spawn"`).
pub(super) fn plan(target: &BenchTarget) -> BenchPlan {
    let spawned = target.engine.manage == Manage::Spawn;
    let mut profile = target.profile();
    // Which device is used is no setting of the profile: the defaults stay on the same one.
    let bare = BenchSetting::of(LoadTuple {
        gpu_layers: profile.tuple.gpu_layers,
        ..LoadTuple::default()
    });
    let mut axes = TuneAxes {
        threads: tune::threads(physical_cores()),
        batch: tune::BATCHES.to_vec(),
        ..TuneAxes::default()
    };
    let mut changes = CHANGES.to_vec();
    if spawned {
        profile.parallel = target.engine.permits.max(1);
        axes.parallel = tune::PARALLEL.to_vec();
        changes.extend(STARTED);
    } else {
        axes.notes.push(NOTE);
    }
    BenchPlan {
        variants: variants(bare, profile, &changes),
        fixed: if spawned { Vec::new() } else { FIXED.to_vec() },
        profile,
        keys: KEYS,
        axes,
    }
}

// === impl OllamaBench ===

impl OllamaBench {
    /// Makes a driver for the running Ollama, or for one that it starts itself where the engine has
    /// `manage = "spawn"`. The error is an address that cannot be used.
    pub(super) fn new(target: &BenchTarget) -> Result<Self, CommandFailure> {
        let server = match OllamaChild::of(target) {
            Some(child) => MeasuredOllama::Child(Box::new(child)),
            None => MeasuredOllama::Running(OllamaApi::new(target.address()?, &target.model.id)),
        };
        Ok(Self { server })
    }

    async fn run(&self, setting: &BenchSetting, run: usize) -> Result<RunSample, RunFailure> {
        match &self.server {
            MeasuredOllama::Running(api) => api.run(setting, run).await,
            MeasuredOllama::Child(child) => child.with(setting).await?.run(setting, run).await,
        }
    }

    async fn end(&self) -> Result<(), String> {
        match &self.server {
            MeasuredOllama::Running(api) => match api.unload().await {
                Ok(()) => Ok(()),
                Err(RunFailure::Refused(words) | RunFailure::Final(words)) => Err(words),
            },
            MeasuredOllama::Child(child) => child.stop().await,
        }
    }
}

impl BenchDriver for OllamaBench {
    fn measure<'a>(
        &'a self,
        setting: &'a BenchSetting,
        run: usize,
    ) -> BoxFuture<'a, Result<RunSample, RunFailure>> {
        Box::pin(self.run(setting, run))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.end())
    }

    fn options(&self, setting: &BenchSetting) -> Value {
        let mut options = ollama_options(&setting.tuple);
        if let MeasuredOllama::Child(_) = &self.server {
            let variables = child::variables(setting).into_iter();
            options.extend(variables.map(|(name, value)| (name.to_owned(), value.into())));
        }
        Value::Object(options)
    }
}
