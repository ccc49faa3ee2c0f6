//! The benchmark of an LM Studio. Each run loads the model over LM Studio's API with the options of
//! its variant, as the server does, and unloads the instance afterwards.

use std::{sync::Arc, time::Duration};

use crucible_config::checked;
use crucible_router::{
    catalog::{ModelKind, ResidentInfo},
    engine::{self, Engine, LoadConfig, LoadOrder, LoadTuple},
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::{
    chat::ChatMeter,
    driver::{BenchDriver, BenchPlan, RunFailure},
    stats::RunSample,
    target::BenchTarget,
    tune::{self, TuneAxes, TunedKey, TunedKeys},
    variant::{BenchSetting, FixedSetting, SettingChange, variants},
};

/// The time after which LM Studio itself unloads an idle instance; it applies to loads over its
/// WebSocket API only.
const IDLE_TIME: Duration = Duration::from_mins(10);
const NOTES: [&str; 2] = [
    "threads were not searched: LM Studio's load API takes none",
    "memory was not looked at: LM Studio's API does not tell it",
];

/// An LM Studio, with the model that the benchmark loads and unloads there.
pub(super) struct LmstudioBench {
    client: engine::Client,
    config: checked::EngineConfig,
    token: Option<String>,
    /// The load options of the configuration that only the WebSocket API takes; `None` where
    /// `websocket` is off.
    load_config: Option<LoadConfig>,
    model: Arc<str>,
    budget: Duration,
    chat: ChatMeter,
    /// The loads that run. A load in LM Studio goes on when nobody waits for it, so each has its
    /// own task.
    loads: TaskTracker,
    loaded: Arc<Mutex<Option<LoadedInstance>>>,
}

/// An instance that the benchmark loaded, with the engine driver that loaded it.
#[derive(Clone)]
struct LoadedInstance {
    control: Arc<dyn Engine>,
    resident: ResidentInfo,
}

/// The keys that a found setting is written to.
pub(super) const KEYS: TunedKeys = TunedKeys {
    table: "[tuning.lmstudio]",
    threads: false,
    batch: TunedKey::Table,
    parallel: TunedKey::Engine,
};

/// Returns the plan for an LM Studio: the engine's defaults, the profile, and the profile with
/// single options changed, as far as the load API and the model's format (GGUF or MLX) take them.
pub(super) fn plan(target: &BenchTarget) -> BenchPlan {
    let profile = BenchSetting {
        parallel: target.engine.permits.max(1),
        ..target.profile()
    };
    // Batch, flash attention and cache types are llama.cpp's.
    let mlx = target.model.format.as_deref() == Some("mlx");
    let mut changes = vec![SettingChange::Context, SettingChange::Parallel];
    let mut fixed = vec![FixedSetting {
        setting: "threads, mmap, GPU layers",
        why: "LM Studio's load API does not take them",
    }];
    if mlx {
        fixed.push(FixedSetting {
            setting: "batch, flash attention, K/V type",
            why: "the model is in MLX's format, which has none of them",
        });
    } else {
        changes.splice(0..0, [SettingChange::Batch, SettingChange::FlashAttention]);
        if target.engine.websocket {
            changes.push(SettingChange::Cache);
        } else {
            fixed.push(FixedSetting {
                setting: "K/V type",
                why: "only LM Studio's WebSocket API takes it: websocket = true in the engine's block",
            });
        }
    }
    let mut axes = TuneAxes {
        batch: tune::BATCHES.to_vec(),
        parallel: tune::PARALLEL.to_vec(),
        notes: NOTES.to_vec(),
        ..TuneAxes::default()
    };
    if mlx {
        axes.batch.clear();
        axes.notes.push("batch was not searched: MLX has none");
    }
    BenchPlan {
        variants: variants(BenchSetting::of(LoadTuple::default()), profile, &changes),
        fixed,
        profile,
        keys: KEYS,
        axes,
    }
}

// === impl LmstudioBench ===

impl LmstudioBench {
    /// Makes a driver that has loaded nothing yet.
    pub(super) fn new(target: &BenchTarget) -> Self {
        let token = target.token();
        Self {
            client: target.client(),
            load_config: LoadConfig::of(&target.config, &target.engine),
            config: target.engine.clone(),
            chat: ChatMeter::new(token.clone(), Value::Null),
            token,
            model: Arc::clone(&target.model.id),
            budget: target.config.timeouts.load,
            loads: TaskTracker::new(),
            loaded: Arc::default(),
        }
    }

    fn control(&self, setting: &BenchSetting) -> Result<Arc<dyn Engine>, RunFailure> {
        let load_config = self.load_config.clone().map(|asked| match setting.cache {
            // The engine's defaults: nothing is asked for.
            _ if setting.tuple == LoadTuple::default() => LoadConfig::default(),
            Some(cache) => LoadConfig {
                key_cache: Some(cache.to_owned()),
                value_cache: Some(cache.to_owned()),
                ..asked
            },
            None => asked,
        });
        let token = self.token.as_deref();
        engine::build(
            &self.client,
            &self.config,
            token,
            IDLE_TIME,
            None,
            load_config,
            &Arc::default(),
        )
        .ok_or_else(|| RunFailure::Final(format!("{} has no address", self.config.name)))
    }

    async fn run(&self, setting: &BenchSetting, run: usize) -> Result<RunSample, RunFailure> {
        self.unload().await.map_err(RunFailure::Final)?;
        let control = self.control(setting)?;
        let over = |error: engine::EngineError| RunFailure::Final(error.to_string());
        let listing = control.list().await.map_err(over)?;
        if let Some(other) = listing.residents.first() {
            let words = format!("somebody loaded {} meanwhile", other.instance);
            return Err(RunFailure::Final(words));
        }
        let began = Instant::now();
        let resident = self.load(&control, setting).await?;
        let load_s = began.elapsed().as_secs_f64();
        let base = control.address();
        let base = base.ok_or_else(|| RunFailure::Final("it has no address".to_owned()))?;
        let parallel = resident
            .parallel
            .map_or(setting.parallel, |slots| setting.parallel.min(slots.max(1)));
        let asked = self.chat.measure(&base, &resident.instance, parallel, run);
        let sample = asked.await.map_err(RunFailure::Refused)?;
        self.unload().await.map_err(RunFailure::Final)?;
        Ok(RunSample {
            load_s: Some(load_s),
            ..sample
        })
    }

    async fn load(
        &self,
        control: &Arc<dyn Engine>,
        setting: &BenchSetting,
    ) -> Result<ResidentInfo, RunFailure> {
        let order = LoadOrder {
            model: Arc::clone(&self.model),
            kind: ModelKind::Generation,
            tuple: setting.tuple,
            permits: setting.parallel,
            pinned: false,
        };
        let (control, loaded_instance, budget) =
            (Arc::clone(control), Arc::clone(&self.loaded), self.budget);
        let task = self.loads.spawn(async move {
            let Ok(loaded) = timeout(budget, control.load(order)).await else {
                let words = format!(
                    "it did not load within {} s, and may still do so",
                    budget.as_secs()
                );
                return Err(RunFailure::Final(words));
            };
            let resident = loaded.map_err(|e| RunFailure::Refused(e.to_string()))?;
            *loaded_instance.lock() = Some(LoadedInstance {
                control,
                resident: resident.clone(),
            });
            Ok(resident)
        });
        task.await.map_err(|e| RunFailure::Final(e.to_string()))?
    }

    /// Unloads the instance that the benchmark loaded, and no other.
    async fn unload(&self) -> Result<(), String> {
        let loaded_instance = self.loaded.lock().clone();
        let Some(LoadedInstance { control, resident }) = loaded_instance else {
            return Ok(());
        };
        let gone = timeout(self.budget, control.unload(&resident)).await;
        gone.map_err(|_| format!("{} did not unload", resident.instance))?
            .map_err(|e| e.to_string())?;
        *self.loaded.lock() = None;
        Ok(())
    }
}

impl BenchDriver for LmstudioBench {
    fn measure<'a>(
        &'a self,
        setting: &'a BenchSetting,
        run: usize,
    ) -> BoxFuture<'a, Result<RunSample, RunFailure>> {
        Box::pin(self.run(setting, run))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.loads.close();
            self.loads.wait().await;
            self.unload().await
        })
    }

    fn options(&self, setting: &BenchSetting) -> Value {
        json!({
            "context": setting.tuple.context,
            "eval_batch_size": setting.tuple.batch,
            "flash_attention": setting.tuple.flash_attention,
            "cache": setting.cache,
            "parallel": setting.parallel,
        })
    }
}
