//! The options that a model is loaded with, and the context that one request has of them.
//!
//! Every path that may load or use a model asks here, so that all of them name the same options: Ollama
//! loads a model anew where two requests differ. All functions are pure.
//!
//! ```
//! use crucible_config::checked::EngineKind;
//! use crucible_router::options::instance_context;
//!
//! // Two requests share what LM Studio loads, so that 4096 tokens for each are 8192 together.
//! assert_eq!(instance_context(EngineKind::Lmstudio, 4096, 2, None), 8192);
//! // Ollama multiplies by itself.
//! assert_eq!(instance_context(EngineKind::Ollama, 4096, 2, None), 4096);
//! ```

use crucible_config::{
    checked::{EngineKind, Tuning},
    engine_profile::SlotContext,
};
use serde::{Deserialize, Serialize};

use crate::catalog::{ModelKind, ResidentInfo};

/// The tuple of load options of a model.
///
/// Ollama calls them runner options and loads a model again where a request names others (0.33,
/// `server/sched.go`, `needsReload`). `None` is an option that the engine does not take or chooses
/// itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadTuple {
    /// The context of one request in tokens (Ollama's `num_ctx`). Embedding models have none.
    pub context: Option<u64>,
    /// The batch size of the prompt in tokens (Ollama's `num_batch`, LM Studio's `eval_batch_size`).
    pub batch: Option<u32>,
    /// The number of threads (Ollama's `num_thread`).
    pub threads: Option<u32>,
    /// The number of layers on the GPU (Ollama's `num_gpu`); `Some(0)` keeps Ollama off the GPU.
    pub gpu_layers: Option<i64>,
    /// Whether the model file is mapped into memory (Ollama's `use_mmap`).
    pub mmap: Option<bool>,
    /// Whether flash attention is used (LM Studio's `flash_attention`).
    pub flash_attention: Option<bool>,
    /// Whether a person loaded the model, so that nothing may be sent that would load it anew.
    pub as_loaded: bool,
}

/// Computes the load options of a model.
///
/// `context` is the configured or grown context per request, capped at `max_context`.
/// `gpu_owned_elsewhere` keeps the engine off the GPU (true while its resolved device is `cpu`). `physical_cores` caps the threads (`tuning.ollama.num_threads`); 0 is unknown. Embedding models have neither
/// context nor batch: a small batch makes them refuse long inputs.
pub fn tuple_for(
    engine: EngineKind,
    tuning: &Tuning,
    context: u64,
    kind: ModelKind,
    gpu_owned_elsewhere: bool,
    physical_cores: u32,
    max_context: Option<u64>,
) -> LoadTuple {
    let profile = engine.profile();
    let taken = profile.options;
    let generation = kind == ModelKind::Generation;
    let context = max_context.map_or(context, |max| context.min(max.max(1)));
    let threads = || threads(tuning.ollama.num_threads, physical_cores);
    let batch = || tuning.batch_size(profile.section);
    LoadTuple {
        context: (taken.context && generation).then_some(context),
        batch: (taken.batch && generation).then(batch),
        threads: taken.threads.then(threads).flatten(),
        gpu_layers: (taken.gpu_layers && gpu_owned_elsewhere).then_some(0),
        mmap: taken.mmap.then_some(tuning.ollama.use_mmap),
        flash_attention: (taken.flash_attention && generation)
            .then_some(tuning.lmstudio.flash_attention),
        as_loaded: false,
    }
}

/// Computes the context that an instance is loaded with so that each of `permits` requests has `context`
/// tokens.
///
/// Where the slots of an instance share its context or divide it, that is `context` times `permits`,
/// capped at the model's maximum `max` where that is known, but never below the context of one request.
pub fn instance_context(engine: EngineKind, context: u64, permits: u32, max: Option<u64>) -> u64 {
    match engine.profile().slots {
        SlotContext::PerRequest | SlotContext::Unknown => context,
        SlotContext::Shared | SlotContext::Divided => {
            let wanted = context.saturating_mul(u64::from(permits.max(1)));
            max.map_or(wanted, |max| wanted.min(max.max(context)))
        }
    }
}

/// Computes how many requests a resident serves at a time so that each has `context` tokens; at least 1.
///
/// It is the other half of [`instance_context`]: where the cap, or a load by hand, left less context,
/// fewer requests run at once.
pub fn permits_within(
    engine: EngineKind,
    resident: &ResidentInfo,
    context: u64,
    permits: u32,
) -> u32 {
    let most = permits.max(1);
    match (engine.profile().slots, resident.context) {
        (SlotContext::Shared, Some(whole)) if context > 0 => {
            let fit = u32::try_from(whole / context).unwrap_or(u32::MAX);
            fit.clamp(1, most)
        }
        (SlotContext::Divided, _) => resident.parallel.unwrap_or(permits).clamp(1, most),
        (SlotContext::Shared | SlotContext::PerRequest | SlotContext::Unknown, _) => most,
    }
}

/// Computes the longest context that one request can have on a resident; `None` where the engine does
/// not report the resident's.
pub fn request_context(engine: EngineKind, resident: &ResidentInfo) -> Option<u64> {
    let whole = resident.context?;
    match engine.profile().slots {
        SlotContext::Divided => Some(whole / u64::from(resident.parallel.unwrap_or(1).max(1))),
        SlotContext::Shared | SlotContext::PerRequest | SlotContext::Unknown => Some(whole),
    }
}

/// Caps the configured threads at the cores; 0 configured means that the engine chooses.
fn threads(configured: u32, cores: u32) -> Option<u32> {
    match (configured, cores) {
        (0, _) => None,
        (n, 0) => Some(n),
        (n, cores) => Some(n.min(cores)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{resident, tuning};

    #[test]
    fn ollama_has_the_full_tuple() {
        let tuple = tuple_for(
            EngineKind::Ollama,
            &tuning(),
            4096,
            ModelKind::Generation,
            true,
            4,
            None,
        );
        let expected = LoadTuple {
            context: Some(4096),
            batch: Some(512),
            threads: Some(4),
            gpu_layers: Some(0),
            mmap: Some(true),
            flash_attention: None,
            as_loaded: false,
        };
        assert_eq!(tuple, expected);
    }

    #[test]
    fn embedding_models_have_neither_context_nor_batch() {
        for engine in [EngineKind::Ollama, EngineKind::Lmstudio] {
            let tuple = tuple_for(
                engine,
                &tuning(),
                4096,
                ModelKind::Embedding,
                false,
                8,
                Some(512),
            );
            assert_eq!((tuple.context, tuple.batch), (None, None));
            assert_eq!(tuple.gpu_layers, None);
        }
    }

    #[test]
    fn context_stays_within_the_model_and_threads_within_the_machine() {
        let make = |cores| {
            tuple_for(
                EngineKind::Ollama,
                &tuning(),
                32768,
                ModelKind::Generation,
                false,
                cores,
                Some(2048),
            )
        };
        assert_eq!(make(2).context, Some(2048));
        assert_eq!(make(2).threads, Some(2));
        assert_eq!(make(64).threads, Some(8));
        assert_eq!(make(0).threads, Some(8));
    }

    #[test]
    fn shared_context_is_multiplied_and_capped() {
        use EngineKind::{Llamacpp, Lmstudio, Ollama};
        assert_eq!(instance_context(Lmstudio, 4096, 2, Some(131_072)), 8192);
        assert_eq!(instance_context(Lmstudio, 4096, 2, Some(6000)), 6000);
        assert_eq!(instance_context(Lmstudio, 4096, 2, Some(1000)), 4096);
        assert_eq!(instance_context(Llamacpp, 4096, 3, None), 12288);
        assert_eq!(instance_context(Ollama, 4096, 2, None), 4096);
    }

    #[test]
    fn permits_shrink_where_the_context_does_not_reach() {
        let mut held = resident("m");
        held.context = Some(6000);
        assert_eq!(permits_within(EngineKind::Lmstudio, &held, 4096, 2), 1);
        assert_eq!(permits_within(EngineKind::Lmstudio, &held, 3000, 2), 2);
        assert_eq!(permits_within(EngineKind::Lmstudio, &held, 9000, 2), 1);
        assert_eq!(permits_within(EngineKind::Ollama, &held, 9000, 2), 2);
        held.parallel = Some(3);
        assert_eq!(request_context(EngineKind::Llamacpp, &held), Some(2000));
        assert_eq!(request_context(EngineKind::Lmstudio, &held), Some(6000));
    }
}
