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
    pipeline::{context_retry::ContextRetry, planned_request::PlannedRequest},
};

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

/// Returns the retry of a prompt that the candidate at `at` found too long. Its tokens are those that the
/// engine counted, else half as many again as were estimated and more than the context had room for.
/// `None` where the prompt would be refused once more: the count fits the context that the engine was
/// loaded with, or the last retry got no more context.
pub(super) fn retry(
    planned: &PlannedRequest,
    at: usize,
    overflow: Overflow,
) -> Option<ContextRetry> {
    let context = planned.active.note(|record| record.context);
    let had = context.unwrap_or(0);
    let before = planned.demand.counted;
    if let Some(last) = planned.too_long
        && last.gets_no_more(context)
    {
        return None;
    }
    let estimate = before.unwrap_or(planned.demand.prompt_tokens);
    let tokens = match overflow.counted {
        Some(counted) if planned.demand.context_for(counted) <= had => return None,
        Some(counted) => counted,
        None => (estimate + estimate / 2).max(had.saturating_add(1)),
    };
    Some(ContextRetry {
        at,
        tokens,
        counted: overflow.counted.is_some(),
        context,
    })
}
