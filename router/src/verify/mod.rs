//! Checks whether the 39 settings are in effect, by what the engines and the system show.
//!
//! [`verify`] is a pure function of one setting and of the [`Evidence`] that [`gather`] collected.
//! A configuration file is never evidence.

mod context;
mod engine_access;
mod environment;
pub mod evidence;
mod finding;
pub mod findings;
pub mod gather;
mod lmstudio;
mod lmstudio_load;
mod memory;
mod ollama;
mod policy;
pub mod probe;
mod start_advice;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crucible_config::tuning::{TuningId, TuningReport};

use self::finding::{NOBODY, each, has_embedding, residents, worst};
pub use self::{
    evidence::{Counters, Evidence},
    finding::Finding,
    findings::{EngineFault, down::FAULTS as UNUSABLE, engine_faults},
};
/// Checks all 39 settings, as `GET /crucible/tunings` and `doctor` show them.
pub fn verified(evidence: &Evidence) -> TuningReport {
    let mut report = evidence.config.tuning_report();
    for shown in &mut report.tunings {
        let finding = verify(shown.id, evidence);
        shown.state = Some(finding.state);
        shown.evidence = Some(finding.evidence());
        if finding.fix.is_some() {
            shown.advice = finding.fix;
        }
    }
    report
}

/// Finds the state of one setting by its own check of the evidence; one without a check does not compile.
pub fn verify(id: TuningId, evidence: &Evidence) -> Finding {
    let check: fn(&Evidence) -> Finding = match id {
        TuningId::LmstudioGpuMemoryFraction => memory::gpu_fraction,
        TuningId::LmstudioGpuLayers => lmstudio_load::layers,
        TuningId::LmstudioMaxLoadedModels => lmstudio::loaded_models,
        TuningId::LmstudioJitLoading => lmstudio::jit_loading,
        TuningId::LmstudioModelTtl => lmstudio_load::model_ttl,
        TuningId::LmstudioAutoEvict => lmstudio::auto_evict,
        TuningId::LmstudioBatchSize => lmstudio::batch_size,
        TuningId::LmstudioFlashAttention => lmstudio::flash_attention,
        TuningId::LmstudioKeyCacheQuantization => lmstudio_load::key_cache,
        TuningId::LmstudioValueCacheQuantization => lmstudio_load::value_cache,
        TuningId::LmstudioStreamBufferSize => policy::stream_buffer,
        TuningId::LmstudioStreamTimeout => policy::stream_timeout,
        TuningId::LmstudioContextLength => lmstudio::context_length,
        TuningId::LmstudioTemperature => policy::temperature,
        TuningId::LmstudioTopP => policy::top_p,
        TuningId::LmstudioFrequencyPenalty => policy::frequency_penalty,
        TuningId::LmstudioPresencePenalty => policy::presence_penalty,
        TuningId::LmstudioKeepAliveInterval => policy::keep_alive_interval,
        TuningId::LmstudioKeepAliveEnabled => policy::keep_alive_enabled,
        TuningId::LmstudioModelWarmup => policy::warm_up,
        TuningId::OllamaMaxLoadedModels => ollama::loaded_models,
        TuningId::OllamaMaxQueue => ollama::queue,
        TuningId::OllamaNumParallel => ollama::parallel,
        TuningId::OllamaMemoryLimit => memory::memory_limit,
        TuningId::OllamaNumThreads => ollama::threads,
        TuningId::OllamaNumaPolicy => ollama::numa,
        TuningId::OllamaContextSize => ollama::context_size,
        TuningId::OllamaQuantization => policy::quantization,
        TuningId::OllamaBatchSize => ollama::batch_size,
        TuningId::OllamaUseMmap => ollama::mmap,
        TuningId::OllamaUseMlock => ollama::mlock,
        TuningId::EnvironmentOllamaNumGpu => environment::num_gpu,
        TuningId::EnvironmentOllamaCpuTarget => environment::cpu_target,
        TuningId::EnvironmentCudaVisibleDevices => environment::visible_devices,
        TuningId::EnvironmentOllamaMaxLoadedModels => environment::loaded_models,
        TuningId::EnvironmentOllamaMaxQueue => environment::queue,
        TuningId::EnvironmentOllamaNumParallel => environment::parallel,
        TuningId::EnvironmentOllamaNumThreads => environment::threads,
        TuningId::EnvironmentOllamaNumaPolicy => environment::numa,
    };
    check(evidence)
}
