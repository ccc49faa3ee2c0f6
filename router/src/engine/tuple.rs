//! The one tuple of a model, and what it becomes on an engine that shares context among slots.
//!
//! Pure: every path that may load or use a model asks here, so that all of them say the same
//! and Ollama never loads a model again.

use crucible_config::checked::{EngineKind, Tuning};

use super::Tuple;
use crate::catalog::{ModelKind, ResidentInfo};

/// The runner options of a model.
///
/// `context` is the configured or grown context per request, capped at `max_context`.
/// `gpu_owned_elsewhere`: this engine is to stay off the GPU (rows 32-34; true while its resolved
/// device is `cpu`). `physical_cores` caps the threads (row 25); 0 is unknown. Embedding models
/// have neither context nor batch: a small batch makes them refuse long inputs.
pub fn tuple_for(
    engine: EngineKind,
    tuning: &Tuning,
    context: u64,
    kind: ModelKind,
    gpu_owned_elsewhere: bool,
    physical_cores: u32,
    max_context: Option<u64>,
) -> Tuple {
    let generation = kind == ModelKind::Generation;
    let context = generation.then(|| max_context.map_or(context, |max| context.min(max.max(1))));
    match engine {
        EngineKind::Ollama => Tuple {
            context,
            batch: generation.then_some(tuning.ollama.batch_size),
            threads: threads(tuning.ollama.num_threads, physical_cores),
            gpu_layers: gpu_owned_elsewhere.then_some(0),
            mmap: Some(tuning.ollama.use_mmap),
            flash_attention: None,
            as_loaded: false,
        },
        EngineKind::Lmstudio => Tuple {
            context,
            batch: generation.then_some(tuning.lmstudio.batch_size),
            flash_attention: generation.then_some(tuning.lmstudio.flash_attention),
            ..Tuple::default()
        },
        EngineKind::Llamacpp => Tuple {
            context,
            threads: threads(tuning.ollama.num_threads, physical_cores),
            ..Tuple::default()
        },
        EngineKind::Openai => Tuple::default(),
    }
}

/// The context that an instance is loaded with so that each of `permits` requests has `context`
/// tokens. LM Studio shares an instance's context among its slots and llama.cpp divides it, so
/// both get `context` x `permits`, capped at the model's maximum `max` where that is known;
/// Ollama multiplies by itself.
pub fn instance_context(engine: EngineKind, context: u64, permits: u32, max: Option<u64>) -> u64 {
    match engine {
        EngineKind::Ollama | EngineKind::Openai => context,
        EngineKind::Lmstudio | EngineKind::Llamacpp => {
            let wanted = context.saturating_mul(u64::from(permits.max(1)));
            // A cap below one request's context would promise less than was asked for.
            max.map_or(wanted, |max| wanted.min(max.max(context)))
        }
    }
}

/// Permits of a resident so that each request has `context` tokens; at least 1. The other half of
/// [`instance_context`]: where the cap or a load by hand left less, fewer requests run at once.
pub fn permits_within(
    engine: EngineKind,
    resident: &ResidentInfo,
    context: u64,
    permits: u32,
) -> u32 {
    match (engine, resident.context) {
        (EngineKind::Lmstudio, Some(whole)) if context > 0 => {
            let fit = u32::try_from(whole / context).unwrap_or(u32::MAX);
            fit.clamp(1, permits.max(1))
        }
        (EngineKind::Llamacpp, _) => resident
            .parallel
            .unwrap_or(permits)
            .clamp(1, permits.max(1)),
        _ => permits.max(1),
    }
}

/// Longest context that one request can have on a resident. Ollama reports it per request,
/// llama.cpp divides, LM Studio lets one request use everything while the others are idle.
pub fn request_context(engine: EngineKind, resident: &ResidentInfo) -> Option<u64> {
    let whole = resident.context?;
    match engine {
        EngineKind::Llamacpp => Some(whole / u64::from(resident.parallel.unwrap_or(1).max(1))),
        _ => Some(whole),
    }
}

/// 0 configured means that the engine chooses.
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
        let expected = Tuple {
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
