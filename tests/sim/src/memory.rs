//! What a resident weighs: its weights plus its context's cache.

use crate::model_spec::ModelSpec;

/// Bytes of a model with `context` tokens for each of `slots`: the cache takes 1/65536 of the
/// weights per token (an 8B model's order of magnitude), so 4096 tokens add 6 %.
pub(crate) fn footprint(model: &ModelSpec, context: u64, slots: u64) -> u64 {
    let cache = (model.bytes / 65_536)
        .saturating_mul(context)
        .saturating_mul(slots);
    model.bytes.saturating_add(cache)
}

/// Whether `more` fits beside `used`.
pub(crate) fn fits(memory: Option<u64>, used: u64, more: u64) -> bool {
    memory.is_none_or(|memory| used.saturating_add(more) <= memory)
}
