//! Checks of the 39 engine settings that no single value shows: combinations, and values that were
//! likely meant in another unit.

use std::{collections::BTreeMap, time::Duration};

use super::quantization;
use crate::{
    checked::{Device, EngineConfig, PoolSettings, Tuning},
    kind::quoted,
    settings::{ProblemReport, Settings},
    tuning::TuningId,
};

/// The size of memory in bytes below which the unit was likely forgotten.
const LEAST_MEMORY: u64 = 1_000_000;
/// The gap between two tokens above which milliseconds were likely meant.
const LONGEST_GAP: Duration = Duration::from_hours(1);
/// The time for an idle model above which milliseconds were likely meant; a model that should stay
/// is pinned.
const LONGEST_IDLE: Duration = Duration::from_hours(48);

/// Reports values of the 39 engine settings that are right alone and wrong together, have no effect
/// on the configured engines, or were likely meant in another unit.
pub(super) fn combinations(
    settings: &Settings,
    tuning: &Tuning,
    engines: &[EngineConfig],
    pools: &BTreeMap<String, PoolSettings>,
    report: &mut ProblemReport,
) {
    let mut say = CombinationReport { settings, report };
    cache(tuning, &mut say);
    memory(tuning, pools, &mut say);
    times(tuning, &mut say);
    batches(tuning, &mut say);
    ollama(tuning, engines, &mut say);
}

/// Reports problems together with the place where the value was set.
struct CombinationReport<'a> {
    settings: &'a Settings,
    report: &'a mut ProblemReport,
}

// === impl CombinationReport ===

impl CombinationReport<'_> {
    fn error(&mut self, path: &str, found: &str, expected: &str, hint: &str) {
        let source = self.settings.source(path);
        self.report.error(path, &source, found, expected, hint);
    }

    fn no_effect(&mut self, path: &str, found: &str, expected: &str, hint: &str) {
        let source = self.settings.source(path);
        self.report.no_effect(path, &source, found, expected, hint);
    }

    fn warn(&mut self, path: &str, found: &str, expected: &str, hint: &str) {
        let source = self.settings.source(path);
        self.report.warn(path, &source, found, expected, hint);
    }
}

fn cache(tuning: &Tuning, say: &mut CombinationReport) {
    let value_cache = &tuning.lmstudio.value_cache_quantization;
    let plain = ["f32", "f16", "bf16"].contains(&value_cache.as_str());
    if !plain && !tuning.lmstudio.flash_attention {
        say.error(
            TuningId::LmstudioValueCacheQuantization.path(),
            &format!("{value_cache:?} without flash attention"),
            "\"f16\", or tuning.lmstudio.flash_attention = true",
            "a quantized value cache needs flash attention",
        );
    }
}

fn memory(tuning: &Tuning, pools: &BTreeMap<String, PoolSettings>, say: &mut CombinationReport) {
    if tuning.lmstudio.gpu_memory_fraction <= 0.0 {
        say.error(
            TuningId::LmstudioGpuMemoryFraction.path(),
            &format!("no memory for {} models", tuning.lmstudio.max_loaded_models),
            "a number from 0 to 1, more than 0",
            "0.8 leaves a fifth to others",
        );
    }
    let limit = (
        TuningId::OllamaMemoryLimit.path().to_owned(),
        Some(tuning.ollama.memory_limit),
    );
    let of_pools = pools.iter().flat_map(|(name, pool)| {
        [
            (format!("pool.{name}.memory"), pool.memory),
            (format!("pool.{name}.budget"), pool.budget),
        ]
    });
    for (path, bytes) in std::iter::once(limit).chain(of_pools) {
        let Some(bytes) = bytes.filter(|bytes| *bytes < LEAST_MEMORY) else {
            continue;
        };
        say.error(
            &path,
            &format!("{bytes} bytes"),
            "a size of at least 1MB, in which a model fits",
            &format!("with its unit: \"{bytes}GB\""),
        );
    }
}

fn times(tuning: &Tuning, say: &mut CombinationReport) {
    let gap = tuning.lmstudio.stream_timeout;
    if gap > LONGEST_GAP {
        let seconds = gap.as_secs();
        say.warn(
            TuningId::LmstudioStreamTimeout.path(),
            &format!("{seconds} seconds"),
            "at most an hour between two tokens",
            &format!("a number without unit is seconds; \"{seconds}ms\" if that was meant"),
        );
    }
    let (interval, ttl) = (
        tuning.lmstudio.keep_alive_interval,
        tuning.lmstudio.model_ttl,
    );
    if ttl > LONGEST_IDLE {
        let seconds = ttl.as_secs();
        say.warn(
            TuningId::LmstudioModelTtl.path(),
            &format!("{seconds} seconds"),
            "at most two days without a request",
            &format!(
                "a number without unit is seconds; \"{seconds}ms\" if that was meant, or pin = true \
                 for a model that is to stay"
            ),
        );
    }
    if tuning.lmstudio.keep_alive_enabled && interval > ttl {
        say.warn(
            TuningId::LmstudioKeepAliveInterval.path(),
            &format!("{} s", interval.as_secs()),
            &format!("at most tuning.lmstudio.model_ttl, {} s", ttl.as_secs()),
            "residents would be read less often than they are unloaded",
        );
    }
}

fn batches(tuning: &Tuning, say: &mut CombinationReport) {
    let l = &tuning.lmstudio;
    let o = &tuning.ollama;
    for (id, batch, context, of) in [
        (
            TuningId::LmstudioBatchSize,
            l.batch_size,
            l.context_length,
            TuningId::LmstudioContextLength,
        ),
        (
            TuningId::OllamaBatchSize,
            o.batch_size,
            o.context_size,
            TuningId::OllamaContextSize,
        ),
    ] {
        if u64::from(batch) > context {
            say.warn(
                id.path(),
                &batch.to_string(),
                &format!("at most {}, {context}", of.path()),
                "a batch is never longer than the context",
            );
        }
    }
}

fn ollama(tuning: &Tuning, engines: &[EngineConfig], say: &mut CombinationReport) {
    if tuning.ollama.use_mlock {
        say.warn(
            TuningId::OllamaUseMlock.path(),
            "true",
            "false: Ollama has no such option any more",
            "start Ollama with LLAMA_ARG_LOAD_MODE=mmap+mlock",
        );
    }
    if !quantization::is_known(&tuning.ollama.quantization) {
        let near = quantization::near(&tuning.ollama.quantization);
        say.no_effect(
            TuningId::OllamaQuantization.path(),
            &quoted(&tuning.ollama.quantization),
            "a quantization such as \"q4_0\", \"q4_k_m\" or \"f16\"",
            &near.map_or_else(
                || "no model has it".to_owned(),
                |near| format!("no model has it; did you mean {near:?}?"),
            ),
        );
    }
    let devices = &tuning.environment.CUDA_VISIBLE_DEVICES;
    let is_visible = !devices.is_empty() && devices != "-1";
    let owner = engines
        .iter()
        .find(|e| e.device == Device::Gpu && !e.kind.profile().takes_environment);
    if let Some(owner) = owner.filter(|_| is_visible) {
        say.warn(
            TuningId::EnvironmentCudaVisibleDevices.path(),
            &quoted(devices),
            &format!("\"\", since engine {:?} owns the GPU", owner.name),
            "fine where that is another card",
        );
    }
}
