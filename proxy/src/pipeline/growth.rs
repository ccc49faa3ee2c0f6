//! The handling of a prompt that an engine refuses for its length: the lesson for the predictor,
//! and the attempts with a shorter answer or with more context.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use crucible_router::{measurements::AnswerSample, plan::Candidate};

use crate::{
    body::{
        edit::{self, BodyEdit, NewValue},
        peek::PeekedBody,
    },
    dialect::engine::engine_error::overflow_lengths,
    error::{Error, Overflow},
    pipeline::planned_request::PlannedRequest,
};

/// One more attempt with more context, for a prompt that the engine refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextRetry {
    /// The position of the candidate in the plan.
    at: usize,
    /// The tokens of the prompt for which context is asked.
    pub(super) tokens: u64,
    /// Whether the engine counted the tokens; else they are estimated.
    pub(super) counted: bool,
    /// The context in tokens that the candidate had, where it is known.
    context: Option<u64>,
}

/// Teaches the predictor how many tokens the engine counted in a prompt that it refused; does
/// nothing where it did not count them.
pub(super) fn learn(planned: &PlannedRequest, candidate: &Candidate, overflow: Overflow) {
    if overflow.counted.is_none() {
        return;
    }
    planned.app.router.learn(&[AnswerSample {
        engine: Arc::clone(&candidate.engine),
        model: Arc::clone(&candidate.model),
        client: planned.demand.client.clone(),
        model_was_chosen: false,
        estimated_prompt_tokens: planned.active.note(|record| record.prompt.estimate),
        prompt_tokens: overflow.counted,
        prompt_time: None,
        cache_unknown: false,
        answer_length: None,
        output_time: None,
        context_need: None,
        service_time: Duration::ZERO,
    }]);
}

/// Returns the tokens that the context leaves for the answer, where a request was refused only
/// because it asks for a longer one; `None` otherwise, and where the answer was shortened before.
pub(super) fn left_for_answer(planned: &PlannedRequest, error: &Error) -> Option<u64> {
    let asked = planned.demand.max_tokens?;
    if planned.shortened.is_some() {
        return None;
    }
    let prompt = error.overflow?.counted?;
    let left = overflow_lengths::left_for_answer(&error.message, prompt)?;
    (left < asked).then_some(left)
}

/// Returns the body of the request with the answer limited to `left` tokens.
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
    /// The retry for an overflow. Its tokens are those that the engine counted, else half as many
    /// again as were estimated and more than the context had room for. `None` where the prompt
    /// would be refused once more: the count fits the context that the engine was loaded with, or
    /// the last retry got no more context.
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

    /// Returns the note for the client where the candidate at `at` has more context now; `None`
    /// otherwise.
    pub(super) fn note(self, at: usize, context: Option<u64>) -> Option<String> {
        let about = if self.counted { "" } else { "about " };
        let tokens = self.tokens;
        (at == self.at && context > self.context)
            .then(|| format!("loaded with more context, for a prompt of {about}{tokens} tokens"))
    }
}
