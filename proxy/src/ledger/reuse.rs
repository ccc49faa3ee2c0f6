//! The part of a prompt that the engine had cached, as far as it is known once the answer has ended.

use crucible_router::{predict, view::View};

use crate::{request::RequestFacts, usage::Usage};

/// The counts of an answer with the cached tokens that the engine's slots showed, or with an estimate by
/// its times where they showed none.
pub(super) fn completed(record: &RequestFacts, view: &View) -> Option<Usage> {
    let mut usage = record.usage?;
    if usage.cached.is_some() {
        return Some(usage);
    }
    if let Some(slots) = &record.slots
        && let Some(cached) = slots.cached(usage.prompt)
    {
        usage.cached = Some(cached);
    } else if let Some(cached) = estimated(record, &usage, view) {
        usage.cached = Some(cached);
        usage.cached_is_estimated = true;
    }
    Some(usage)
}

/// Only for an engine that counts the whole prompt and times the part that it read.
fn estimated(record: &RequestFacts, usage: &Usage, view: &View) -> Option<u64> {
    record.slots.as_ref()?;
    let prompt = usage
        .timing
        .prompt
        .filter(|_| !usage.timing.cache_left_out)?;
    let (engine, model) = (record.engine.as_deref()?, record.model.as_deref()?);
    predict::cached_tokens(&view.measurements, engine, model, prompt)
}
