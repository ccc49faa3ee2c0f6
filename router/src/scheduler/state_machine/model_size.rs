//! The memory that a model takes: its weights and its context, as reported, measured or assumed.

use crucible_config::engine_profile::SlotContext;

use super::resident::Resident;
use crate::{
    catalog::{ModelInfo, ModelKind},
    options::instance_context,
    scheduler::messages::EngineFacts,
};

/// The bytes of context memory per token where the engine does not report them: those of Llama 3 8B
/// with f16 caches (2 x 32 layers x 8 heads x 128 x 2 bytes).
const TOKEN_PRIOR: u64 = 131_072;
/// That assumption is at most one part in this many of the weights, because small models have small
/// caches.
const TOKEN_PRIOR_SHARE: u64 = 16_384;
/// A size in bytes that no machine has: a unit went wrong.
const ABSURD: u64 = 1 << 50;
/// A measurement that differs from the estimate by more than this factor is not believed.
const BELIEVABLE: u64 = 4;
/// The bytes that runner, graphs and buffers may take beyond the estimate for a small model.
const OVERHEAD: u64 = 2_000_000_000;

/// Everything that is known of the memory of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelSize {
    /// The bytes of the weights.
    weights: Option<u64>,
    /// The bytes for each token of context.
    bytes_per_token: u64,
    /// Whether the engine reported them; else they are assumed.
    token_bytes_told: bool,
    /// A measurement: tokens of context, and the bytes of the whole model with them.
    measured: Option<(u64, u64)>,
    /// The longest context that the model was trained for, in tokens.
    max_context: Option<u64>,
}

/// Returns a reported size, unless it is 0 or more than any machine has.
fn plausible_bytes(bytes: u64) -> Option<u64> {
    (bytes > 0 && bytes < ABSURD).then_some(bytes)
}

// === impl ModelSize ===

impl ModelSize {
    /// Returns the size of a model as its engine describes it. `measured` is that of an earlier
    /// load: tokens of context, and the bytes with them.
    pub(super) fn from_facts(
        facts: &EngineFacts,
        model: &str,
        measured: Option<(u64, u64)>,
    ) -> Self {
        match facts.models.iter().find(|m| *m.id == *model) {
            Some(model) => Self::new(model, measured),
            None => Self {
                measured,
                ..Self::default()
            },
        }
    }

    /// Returns the size of a model by its description, with the measurement of an earlier load.
    fn new(model: &ModelInfo, measured: Option<(u64, u64)>) -> Self {
        let weights = model.size_bytes.and_then(plausible_bytes);
        let prior = weights.map_or(0, |w| TOKEN_PRIOR.min(w / TOKEN_PRIOR_SHARE));
        let told = model.context_bytes.and_then(plausible_bytes);
        Self {
            weights,
            bytes_per_token: match model.kind {
                ModelKind::Generation => told.unwrap_or(prior),
                ModelKind::Embedding => 0,
            },
            token_bytes_told: told.is_some(),
            measured,
            max_context: model.max_context,
        }
    }

    /// Returns the memory in bytes of the model with `tokens` tokens of context, for all requests
    /// together; `None` where nothing is known of its size.
    pub(super) fn bytes_with(&self, tokens: u64) -> Option<u64> {
        if let Some((at, bytes)) = self.measured {
            let more = self
                .bytes_per_token
                .saturating_mul(tokens.saturating_sub(at));
            let less = self
                .bytes_per_token
                .saturating_mul(at.saturating_sub(tokens));
            return Some(bytes.saturating_add(more).saturating_sub(less).max(1));
        }
        let context = self.bytes_per_token.saturating_mul(tokens);
        self.weights.map(|w| w.saturating_add(context))
    }

    /// Returns the memory in bytes of a load with room for `context` tokens in each of `permits`
    /// requests; `None` where nothing is known of the model's size.
    pub(super) fn load_bytes(
        &self,
        facts: &EngineFacts,
        context: u64,
        permits: u32,
    ) -> Option<u64> {
        self.bytes_with(match facts.kind.profile().slots {
            SlotContext::PerRequest => context.saturating_mul(u64::from(permits)),
            SlotContext::Shared | SlotContext::Divided | SlotContext::Unknown => {
                instance_context(facts.kind, context, permits, self.max_context)
            }
        })
    }

    /// Whether the engine reported the bytes per token; else they are assumed.
    pub(super) const fn knows_token_bytes(&self) -> bool {
        self.token_bytes_told
    }

    /// Returns the longest context that the model was trained for, in tokens; `None` where it is
    /// not known.
    pub(super) const fn max_context(&self) -> Option<u64> {
        self.max_context
    }

    /// Returns the tokens of context that a resident has reserved for all its requests together; 0
    /// where its engine does not report them. An engine that states the context per request
    /// reserves it once for each permit of a model that generates text.
    pub(super) fn resident_tokens(facts: &EngineFacts, resident: &Resident) -> u64 {
        let context = resident.info.context.unwrap_or(0);
        match (facts.kind.profile().slots, resident.info.kind) {
            (SlotContext::PerRequest, ModelKind::Generation) => {
                context.saturating_mul(u64::from(facts.permits_per_resident.max(1)))
            }
            (SlotContext::PerRequest, ModelKind::Embedding)
            | (SlotContext::Shared | SlotContext::Divided | SlotContext::Unknown, _) => context,
        }
    }

    /// Returns the bytes that a resident takes of its pool, and whether its engine reported them
    /// (true) or they are estimated. Ollama reports all of a model's memory; LM Studio and
    /// llama.cpp report the weights alone.
    pub(super) fn resident_bytes(&self, facts: &EngineFacts, resident: &Resident) -> (u64, bool) {
        let blank = Self {
            measured: None,
            ..*self
        };
        let estimate = blank.bytes_with(Self::resident_tokens(facts, resident));
        let info = &resident.info;
        let told = if facts.kind.profile().residents.sized {
            let on_gpu = info
                .vram_bytes
                .filter(|_| facts.on_gpu)
                .and_then(plausible_bytes);
            on_gpu.or_else(|| info.bytes.and_then(plausible_bytes))
        } else {
            None
        };
        let believed = told.filter(|told| {
            estimate.is_none_or(|e| {
                let most = e.saturating_mul(BELIEVABLE).saturating_add(OVERHEAD);
                *told <= most && *told >= e / BELIEVABLE
            })
        });
        match believed {
            Some(bytes) => (bytes, true),
            None => (
                estimate
                    .or(info.bytes.and_then(plausible_bytes))
                    .unwrap_or(0),
                false,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use crucible_config::checked::EngineKind;

    use super::*;
    use crate::{
        engine::testing::resident,
        plan::fixture::generation,
        scheduler::state_machine::tests::{GB, facts},
    };

    fn size_of(weights: u64, token: Option<u64>) -> ModelSize {
        let mut model = generation("m");
        (model.size_bytes, model.context_bytes) = (Some(weights), token);
        let mut facts = facts("e", "cpu");
        facts.models = Arc::new(vec![model]);
        ModelSize::from_facts(&facts, "m", None)
    }

    #[test]
    fn weights_and_context_add_up() {
        assert_eq!(
            size_of(5 * GB, Some(1000)).bytes_with(4096),
            Some(5 * GB + 4_096_000)
        );
        assert_eq!(
            size_of(5 * GB, None).bytes_with(10),
            Some(5 * GB + 10 * TOKEN_PRIOR)
        );
        // A small model has a small cache.
        assert_eq!(size_of(163_840, None).bytes_with(10), Some(163_840 + 100));
    }

    #[test]
    fn ollama_multiplies_the_context_and_the_others_share_it() {
        let size = size_of(GB, Some(1000));
        let mut facts = facts("e", "cpu");
        assert_eq!(size.load_bytes(&facts, 100, 2), Some(GB + 200_000));
        facts.kind = EngineKind::Lmstudio;
        assert_eq!(size.load_bytes(&facts, 100, 2), Some(GB + 200_000));
        assert_eq!(size.load_bytes(&facts, 100, 1), Some(GB + 100_000));
    }

    #[test]
    fn an_engine_that_lies_is_not_believed() {
        let facts = facts("e", "cpu");
        let mut held = Resident::new(resident("m"), Instant::now());
        for lie in [0, 1, 900 * GB, u64::MAX] {
            held.info.bytes = Some(lie);
            assert_eq!(
                size_of(8 * GB, Some(0)).resident_bytes(&facts, &held),
                (8 * GB, false)
            );
        }
        held.info.bytes = Some(9 * GB);
        assert_eq!(
            size_of(8 * GB, Some(0)).resident_bytes(&facts, &held),
            (9 * GB, true)
        );
        // Without any estimate, only the impossible is dropped.
        held.info.bytes = Some(u64::MAX);
        assert_eq!(
            size_of(u64::MAX, None).resident_bytes(&facts, &held),
            (0, false)
        );
    }

    #[test]
    fn a_measurement_corrects_the_estimate() {
        let measured = ModelSize {
            measured: Some((1000, 3 * GB)),
            ..size_of(8 * GB, Some(1000))
        };
        assert_eq!(measured.bytes_with(1000), Some(3 * GB));
        assert_eq!(measured.bytes_with(2000), Some(3 * GB + 1_000_000));
        assert_eq!(measured.bytes_with(0), Some(3 * GB - 1_000_000));
    }
}
