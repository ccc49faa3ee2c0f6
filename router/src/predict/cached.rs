//! The part of a prompt that an engine had in its cache, where it does not say so.

use crate::measurements::{
    Measurements, TimedTokens,
    running_mean::{float, whole},
};

/// The fewest tokens of a prompt whose time says something about its cache.
const FEWEST: u64 = 64;

/// Estimates the cached tokens of a prompt by the time of reading it, for an engine that counts the whole
/// prompt and times only what it read (Ollama 0.33): what cannot have been read in that time, at the rate
/// that was measured for the model, was cached. `None` where too little was measured, or the prompt is
/// too short to tell.
pub fn cached_tokens(
    measurements: &Measurements,
    engine: &str,
    model: &str,
    prompt: TimedTokens,
) -> Option<u64> {
    let rates = measurements.model_rates(engine, model)?;
    let (rate, _) = rates.prompt_per_s.if_enough()?;
    let read = whole(prompt.took.as_secs_f64() * rate).max(1);
    let cached = prompt.tokens.saturating_sub(read);
    // Rates vary by so much between prompts that a small difference is none.
    let is_some = float(cached) > float(prompt.tokens) / 4.0;
    (prompt.tokens >= FEWEST).then_some(if is_some { cached } else { 0 })
}
