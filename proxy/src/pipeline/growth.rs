//! A prompt that an engine refuses for its length: what that teaches, and whether more context may
//! help.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use crucible_router::{plan::Candidate, predict::Sample};

use crate::{
    body::{
        edit::{self, BodyEdit, NewValue},
        peek::PeekedBody,
    },
    dialect::engine::engine_error::overflow_lengths,
    error::{Error, Overflow},
    pipeline::planned_request::PlannedRequest,
};

/// A prompt that an engine refused, and that is sent to it once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextRetry {
    /// Its place in the plan.
    at: usize,
    pub(super) tokens: u64,
    /// The engine told the count.
    pub(super) counted: bool,
    /// The context that it had.
    context: Option<u64>,
}

/// What an engine counts in a prompt that it refuses teaches as much as in one that it answers.
pub(super) fn learn(planned: &PlannedRequest, candidate: &Candidate, overflow: Overflow) {
    if overflow.counted.is_none() {
        return;
    }
    planned.app.router.learn(&[Sample {
        engine: Arc::clone(&candidate.engine),
        model: Arc::clone(&candidate.model),
        client: planned.demand.client.clone(),
        chosen: false,
        estimate: planned.active.note(|record| record.prompt.estimate),
        prompt_tokens: overflow.counted,
        prompt: None,
        cache_unknown: false,
        answer: None,
        output: None,
        need: None,
        service: Duration::ZERO,
    }]);
}

/// What the engine has room for beside the prompt, where it refuses only because the request asks
/// for a longer answer than that: such a one is asked once more for less.
pub(super) fn left_for_answer(planned: &PlannedRequest, error: &Error) -> Option<u64> {
    let asked = planned.demand.max_tokens?;
    if planned.shortened.is_some() {
        return None;
    }
    let prompt = error.overflow?.counted?;
    let left = overflow_lengths::left_for_answer(&error.message, prompt)?;
    (left < asked).then_some(left)
}

/// The request with an answer of at most so many tokens.
pub(super) fn shortened(
    planned: &PlannedRequest,
    left: u64,
) -> Result<(Bytes, Arc<PeekedBody>), Error> {
    let text = left.to_string();
    let names = ["max_tokens", "max_completion_tokens"].into_iter();
    let there = names.filter(|name| planned.chat.peek.raw(&planned.chat.body, name).is_some());
    let edits: Vec<_> = there
        .map(|name| BodyEdit::Set(name, NewValue::Raw(&text)))
        .collect();
    let body = edit::apply(&planned.chat.body, &planned.chat.peek, &edits);
    let peek = PeekedBody::of(&body, planned.config.limits.json_depth)?;
    Ok((body, Arc::new(peek)))
}

// === impl ContextRetry ===

impl ContextRetry {
    /// Tokens as counted, else half as many again as were thought of and more than there was room
    /// for. `None` where it would be refused once more: the count fits what the engine was loaded
    /// with, or more context than before was not to be had.
    pub(super) fn of(planned: &PlannedRequest, at: usize, overflow: Overflow) -> Option<Self> {
        let context = planned.active.note(|record| record.context);
        let had = context.unwrap_or(0);
        let before = planned.demand.counted;
        if let Some(before) = planned.too_long
            && (before.counted || context.is_none() || context <= before.context)
        {
            // What was counted, or has no more room than before, is refused once more.
            return None;
        }
        let estimate = before.unwrap_or(planned.demand.prompt_tokens);
        let tokens = match overflow.counted {
            Some(counted) if planned.demand.context_for(counted) <= had => return None,
            Some(counted) => counted,
            None => (estimate + estimate / 2).max(had.saturating_add(1)),
        };
        Some(Self {
            at,
            tokens,
            counted: overflow.counted.is_some(),
            context,
        })
    }

    /// What the client is told, if the candidate at `at` has more context now.
    pub(super) fn note(self, at: usize, context: Option<u64>) -> Option<String> {
        let about = if self.counted { "" } else { "about " };
        let tokens = self.tokens;
        (at == self.at && context > self.context)
            .then(|| format!("loaded with more context, for a prompt of {about}{tokens} tokens"))
    }
}
