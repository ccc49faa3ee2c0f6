//! The benchmark of a llama.cpp server that Crucible starts. Each run starts a new server on a free
//! port with the flags of its variant and ends it afterwards.

mod memory;

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use crucible_config::checked;
use crucible_router::{
    catalog::{ModelKind, ResidentInfo},
    engine::{self, Children, Engine, LoadOrder, LoadTuple},
    machine,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    caller::EngineCaller,
    chat::ChatMeter,
    driver::{BenchDriver, BenchPlan, RunFailure},
    stats::RunSample,
    target::BenchTarget,
    tune::{self, TuneAxes, TunedKeys},
    variant::{BenchSetting, FixedSetting, SettingChange, variants},
};

const FIXED: [FixedSetting; 1] = [FixedSetting {
    setting: "GPU layers",
    why: "which device computes is a matter of the configured command",
}];
/// The time between two questions whether the server is healthy, and so the precision of a load
/// time.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The program that is started where the engine's block has no `command`.
const PROGRAM: &str = "llama-server";

/// The way to start the server with each setting, and the server that runs now, if there is one.
pub(super) struct LlamacppBench {
    client: engine::Client,
    config: checked::EngineConfig,
    model: Arc<str>,
    budget: Duration,
    chat: ChatMeter,
    current: Mutex<Option<Arc<dyn Engine>>>,
    version: Mutex<Option<String>>,
}

/// Returns the plan for a llama.cpp server that Crucible starts: the server's own defaults, the
/// profile, and the profile with each single option changed.
pub(super) fn plan(target: &BenchTarget) -> BenchPlan {
    let profile = BenchSetting {
        parallel: target.engine.permits.max(1),
        ..target.profile()
    };
    BenchPlan {
        variants: variants(
            BenchSetting::of(LoadTuple::default()),
            profile,
            &SettingChange::ALL,
        ),
        fixed: FIXED.to_vec(),
        profile,
        keys: TunedKeys::FLAGS,
        axes: TuneAxes {
            threads: tune::threads(machine::physical_cores()),
            batch: tune::BATCHES.to_vec(),
            parallel: tune::PARALLEL.to_vec(),
            notes: Vec::new(),
        },
    }
}

/// The reason why a llama.cpp that Crucible did not start is measured as it runs.
pub(super) const NOT_STARTED_HERE: &str = "Crucible did not start this llama.cpp, so it cannot be started anew with other flags; \
     an engine with manage = \"spawn\" can";

/// The fields by which llama.cpp generates an answer to its full length and reuses no cached
/// prompt.
pub(super) fn body_fields() -> Value {
    json!({"ignore_eos": true, "cache_prompt": false})
}

/// Returns the flags of a setting that Crucible itself does not pass. Source: llama.cpp b11434,
/// `llama-server --help`; `--load-mode` exists since b10105.
pub(super) fn flags(setting: &BenchSetting) -> Vec<String> {
    let mut flags = Vec::new();
    let mut put = |words: &[&str]| flags.extend(words.iter().map(|&word| word.to_owned()));
    if let Some(batch) = setting.tuple.batch {
        let batch = batch.to_string();
        put(&["-b", &batch, "-ub", &batch]);
    }
    if let Some(on) = setting.tuple.flash_attention {
        put(&["-fa", if on { "on" } else { "off" }]);
    }
    if let Some(cache) = setting.cache {
        put(&["-ctk", cache, "-ctv", cache]);
    }
    if let Some(mmap) = setting.tuple.mmap {
        put(&["--load-mode", if mmap { "mmap" } else { "none" }]);
    }
    flags
}

// === impl LlamacppBench ===

impl LlamacppBench {
    /// Makes a driver that has started no server yet.
    pub(super) fn new(target: &BenchTarget) -> Self {
        Self {
            client: target.client(),
            config: target.engine.clone(),
            model: Arc::clone(&target.model.id),
            budget: target.config.timeouts.load,
            chat: ChatMeter::new(None, body_fields()),
            current: Mutex::new(None),
            version: Mutex::new(None),
        }
    }

    /// Returns a server with the flags of `setting` that is not started yet.
    fn server(&self, setting: &BenchSetting) -> Result<Arc<dyn Engine>, RunFailure> {
        let mut config = self.config.clone();
        if config.command.is_empty() {
            config.command.push(PROGRAM.to_owned());
        }
        config.command.extend(flags(setting));
        let children = Arc::new(Children::unrecorded());
        engine::build(
            &self.client,
            &config,
            None,
            Duration::ZERO,
            None,
            None,
            &children,
        )
        .ok_or_else(|| RunFailure::Final(format!("{} has no model file", config.name)))
    }

    async fn run(&self, setting: &BenchSetting, run: usize) -> Result<RunSample, RunFailure> {
        self.stop().await.map_err(RunFailure::Final)?;
        let server = self.server(setting)?;
        *self.current.lock() = Some(Arc::clone(&server));
        let order = LoadOrder {
            model: Arc::clone(&self.model),
            kind: ModelKind::Generation,
            tuple: setting.tuple,
            permits: setting.parallel,
            pinned: false,
        };
        let began = Instant::now();
        let mut load = pin!(timeout(self.budget, server.load(order)));
        let (loaded, load_s) = tokio::select! {
            loaded = &mut load => (loaded, began.elapsed()),
            () = self.healthy(&*server) => {
                let elapsed = began.elapsed();
                (load.await, elapsed)
            }
        };
        match loaded {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(RunFailure::Refused(error.to_string())),
            Err(_) => {
                let words = format!("it did not start within {} s", self.budget.as_secs());
                return Err(RunFailure::Refused(words));
            }
        }
        let base = server.address();
        let base =
            base.ok_or_else(|| RunFailure::Refused("it ended after its start".to_owned()))?;
        let asked = self.chat.measure(&base, &self.model, setting.parallel, run);
        let sample = asked.await.map_err(RunFailure::Refused)?;
        let peak = server
            .process()
            .and_then(|pid| memory::peak(Path::new("/proc"), pid));
        if self.version.lock().is_none()
            && let Ok(listing) = server.list().await
        {
            *self.version.lock() = listing.version;
        }
        self.stop().await.map_err(RunFailure::Final)?;
        Ok(RunSample {
            load_s: Some(load_s.as_secs_f64()),
            memory_bytes: peak,
            ..sample
        })
    }

    /// Returns once the server says that it is healthy. It asks more often than a load does, so
    /// that the load time is precise.
    async fn healthy(&self, server: &dyn Engine) {
        loop {
            if let Some(address) = server.address()
                && let Ok(answer) = EngineCaller::new(address, None).get("/health").await
                && answer.status.is_success()
            {
                return;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Ends the server that runs, if there is one, and waits until it is gone.
    async fn stop(&self) -> Result<(), String> {
        let current = self.current.lock().take();
        let Some(server) = current else {
            return Ok(());
        };
        let any = ResidentInfo::named(Arc::clone(&self.model), ModelKind::Generation);
        server.unload(&any).await.map_err(|e| e.to_string())
    }
}

impl BenchDriver for LlamacppBench {
    fn measure<'a>(
        &'a self,
        setting: &'a BenchSetting,
        run: usize,
    ) -> BoxFuture<'a, Result<RunSample, RunFailure>> {
        Box::pin(self.run(setting, run))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.stop())
    }

    fn options(&self, setting: &BenchSetting) -> Value {
        json!({
            "context": setting.tuple.context,
            "threads": setting.tuple.threads,
            "parallel": setting.parallel,
            "flags": flags(setting),
        })
    }

    fn version(&self) -> Option<String> {
        self.version.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_becomes_llama_servers_flags() {
        assert!(flags(&BenchSetting::of(LoadTuple::default())).is_empty());
        let setting = BenchSetting {
            tuple: LoadTuple {
                batch: Some(128),
                flash_attention: Some(false),
                mmap: Some(false),
                threads: Some(2),
                ..LoadTuple::default()
            },
            cache: Some("q8_0"),
            parallel: 2,
        };
        // Threads, context and slots are Crucible's own part.
        let expected = "-b 128 -ub 128 -fa off -ctk q8_0 -ctv q8_0 --load-mode none";
        assert_eq!(flags(&setting).join(" "), expected);
    }
}
