//! The estimate of the cached part of a prompt, for engines that do not report it.

use crate::measurements::{
    Measurements, TimedTokens,
    running_mean::{float, whole},
};

/// The fewest tokens of a prompt whose reading time says anything about its cache.
const FEWEST: u64 = 64;

/// Estimates how many tokens of a prompt came from the engine's cache, by the time of reading it.
///
/// This is for an engine that counts the whole prompt and times only the part that it read (Ollama
/// 0.33). At the model's measured rate so many tokens can have been read in that time; the rest was
/// cached. A rest of a quarter of the prompt or less counts as 0. `None` where too little was
/// measured, or the prompt has fewer than 64 tokens.
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
