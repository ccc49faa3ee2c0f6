//! Whether the 39 settings are in effect, told from what the engines and the system show.
//!
//! Pure: [`verify`] is a function of one row and of the [`Evidence`] that [`gather`] collected.
//! A configuration file is never evidence.

mod context;
mod environment;
pub mod evidence;
pub mod findings;
pub mod gather;
mod lmstudio;
mod lmstudio_load;
mod memory;
mod ollama;
mod policy;
pub mod probe;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crucible_config::{
    checked::EngineKind,
    tuning::{TuningId, TuningReport, TuningState},
};

pub use self::{
    evidence::{Counters, Evidence},
    findings::{Remark, down::FAULTS as UNUSABLE, remarks},
};
use crate::{
    catalog::ModelKind,
    view::{EngineView, ResidentView},
};

/// Why what Crucible itself does cannot be shown.
const NOBODY: &str =
    "Crucible itself does this, and no instance is running at the configured address";

/// What is known of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The one state.
    pub state: TuningState,
    /// What was asked for, after clamping.
    pub asked: String,
    /// What was found, or why nothing could be.
    pub found: String,
    /// Where it was read.
    pub read_at: String,
    /// One command or click that mends it.
    pub fix: Option<String>,
}

/// The 39 rows with states, as `GET /crucible/tunings` and `doctor` show them.
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

/// Finds the state of one setting. A setting without a check does not compile.
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

// === impl Finding ===

impl Finding {
    fn new(
        state: TuningState,
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
    ) -> Self {
        Self {
            state,
            asked: asked.into(),
            found: found.into(),
            read_at: at.to_owned(),
            fix: None,
        }
    }

    fn right(asked: impl Into<String>, found: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::InEffect, asked, found, at)
    }

    fn wrong(
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            fix: Some(fix.into()),
            ..Self::new(TuningState::NotInEffect, asked, found, at)
        }
    }

    fn unknown(asked: impl Into<String>, why: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::Unverifiable, asked, why, at)
    }

    fn not_applicable(why: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::NotApplicable, "", why, at)
    }

    fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// As a row whose named knob does not exist: what is in effect is so by another knob.
    fn superseded_by(mut self, knob: &str) -> Self {
        if self.state == TuningState::InEffect {
            self.state = TuningState::Superseded;
            self.found = format!("superseded by {knob}: {}", self.found);
        }
        self
    }

    /// `asked 8; found 16; read from /proc/7/cmdline`.
    pub fn evidence(&self) -> String {
        let asked = match &*self.asked {
            "" => String::new(),
            asked => format!("asked {asked}; "),
        };
        let found = match self.state {
            TuningState::Unverifiable | TuningState::NotApplicable => self.found.clone(),
            _ => format!("found {}", self.found),
        };
        format!("{asked}{found}; read from {}", self.read_at)
    }
}

/// The findings of all engines of a kind in one: the worst state, everything that was found.
fn each(evidence: &Evidence, kind: EngineKind, check: impl Fn(&EngineView) -> Finding) -> Finding {
    let product = kind.profile().product;
    let engines: Vec<_> = evidence
        .view
        .engines
        .iter()
        .filter(|e| e.kind == kind)
        .collect();
    let several = engines.len() > 1;
    let findings = engines.iter().map(|engine| {
        let mut finding = if engine.is_up() {
            check(engine)
        } else {
            let error = engine.error.as_deref().unwrap_or("has not answered yet");
            Finding::unknown("", format!("{} is down: {error}", engine.name), &engine.url)
                .with_fix(findings::down::start(evidence, engine))
        };
        if several {
            finding.found = format!("{}: {}", engine.name, finding.found);
        }
        finding
    });
    worst(findings).unwrap_or_else(|| {
        Finding::not_applicable(format!("there is no {product} engine"), "the engines found")
    })
}

/// One check per resident that `wanted` names; why there is nothing to look at otherwise.
fn residents(
    engine: &EngineView,
    at: &str,
    check: impl Fn(&ResidentView) -> Option<Finding>,
) -> Finding {
    let generation = engine
        .residents
        .iter()
        .filter(|r| r.info.kind == ModelKind::Generation);
    worst(generation.filter_map(check)).unwrap_or_else(|| {
        Finding::unknown("", "no generation model is loaded that could show it", at)
            .with_fix("send a request, then look again")
    })
}

/// The worst first, the texts of those that share its state joined.
fn worst(findings: impl Iterator<Item = Finding>) -> Option<Finding> {
    const ORDER: [TuningState; 5] = [
        TuningState::NotInEffect,
        TuningState::Unverifiable,
        TuningState::InEffect,
        TuningState::Superseded,
        TuningState::NotApplicable,
    ];
    let mut all: Vec<Finding> = findings.collect();
    let state = ORDER
        .into_iter()
        .find(|state| all.iter().any(|f| f.state == *state))?;
    all.retain(|f| f.state == state);
    let mut all = all.into_iter();
    let mut first = all.next()?;
    for next in all {
        if !first.found.contains(&next.found) {
            first.found = format!("{}, {}", first.found, next.found);
        }
        if !first.asked.contains(&next.asked) {
            first.asked = format!("{}, {}", first.asked, next.asked);
        }
        if !first.read_at.contains(&next.read_at) {
            first.read_at = format!("{}, {}", first.read_at, next.read_at);
        }
    }
    Some(first)
}

/// Whether the engine has an embedding model, which counts against memory only.
fn has_embedding(engine: &EngineView) -> bool {
    engine.models.iter().any(|m| m.kind == ModelKind::Embedding)
}
