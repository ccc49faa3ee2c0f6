//! The attempts of one request: the candidates of the plan in order, and the remedies for one that
//! failed.

use std::{pin::pin, sync::Arc};

use axum::response::Response;
use crucible_config::checked::RequestDefaults;
use crucible_router::{
    permit::Permit,
    plan::{Candidate, Reason},
};
use tokio::time::Instant;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug_span};

use super::{
    context_length, growth,
    overflow::{self, GrantedCandidate},
    planned_request::PlannedRequest,
    prefix_trace,
    routed_request::RoutedRequest,
    stack::stack,
    vanished,
};
use crate::{
    error::{Error, ErrorKind, FallbackReason, UpstreamError},
    metrics::Outcome,
    reply,
    request::{RequestPhase, TargetInstance},
};

/// Tries the candidates in order and returns the first answer. The next candidate is tried only
/// where the error allows it and nothing was sent to the client; else the last error is returned.
pub(super) async fn answered(mut planned: Box<PlannedRequest>) -> Result<Response, Error> {
    prefix_trace::trace(&planned);
    let mut at = 0;
    let mut failed = None;
    while at < planned.plan.candidates.len() {
        let (used, result) = attempt(&planned, at, failed).await;
        count_fallback(&planned, at, used, failed, result.is_ok());
        let Err(error) = result else {
            return result;
        };
        let mut error = context_length::judged(&planned.active, error);
        // In a box, since only what failed needs room for it.
        if Box::pin(remedied(&mut planned, used, &mut error)).await? {
            at = used;
            continue;
        }
        failed = Some((used, fallback_reason(&error)));
        at = used + 1;
        if at == planned.plan.candidates.len()
            || planned.active.committed()
            || !may_fall_back(&error)
        {
            return Err(context_length::worded(&planned.active, error));
        }
        let candidate = &planned.plan.candidates[used];
        tracing::warn!(
            id = %planned.active.id,
            engine = %candidate.engine,
            model = %candidate.model,
            %error,
            "attempt failed, the next candidate is tried"
        );
    }
    Err(Error::new(ErrorKind::Internal, "the plan is empty"))
}

/// Changes what made an attempt fail, where that may help, and returns whether the same candidate
/// is to be tried again: a shorter answer, the model loaded anew, or more context.
async fn remedied(
    planned: &mut PlannedRequest,
    used: usize,
    error: &mut Error,
) -> Result<bool, Error> {
    let candidate = planned.plan.candidates[used].clone();
    if let Some(overflow) = error.overflow {
        growth::learn(planned, &candidate, overflow);
    }
    if let Some(left) = growth::left_for_answer(planned, error) {
        (planned.chat.body, planned.chat.peek) = growth::shortened(planned, left)?;
        planned.demand.max_tokens = Some(left);
        planned.shortened = Some(left);
        return Ok(true);
    }
    if planned.asked_again.is_none() && vanished::is_gone(planned, &candidate, error).await {
        planned.asked_again = Some(used);
        return Ok(true);
    }
    let retry = error
        .overflow
        .and_then(|overflow| growth::retry(planned, used, overflow));
    let Some(retry) = retry else {
        return Ok(false);
    };
    tracing::info!(
        id = %planned.active.id,
        engine = %candidate.engine,
        model = %candidate.model,
        tokens = retry.tokens,
        counted = retry.counted,
        "the prompt is longer than estimated, more context is asked for"
    );
    planned.demand.counted = Some(retry.tokens);
    planned.too_long = Some(retry);
    Ok(true)
}

/// Whether another candidate may answer after this error. A prompt that is too long for one may fit
/// the next.
fn may_fall_back(error: &Error) -> bool {
    error.retryable() || error.kind == ErrorKind::ContextLengthExceeded
}

/// Counts an attempt that took the place of another in the metrics: of the candidate that failed
/// before, or of the one at `at`, where the wait was too long. `used` is the candidate that was
/// tried, and `answered` its success.
fn count_fallback(
    planned: &PlannedRequest,
    at: usize,
    used: usize,
    failed: Option<(usize, FallbackReason)>,
    answered: bool,
) {
    let candidates = &planned.plan.candidates;
    let (from, to, reason) = if used != at {
        (&candidates[at], &candidates[used], FallbackReason::Overload)
    } else if let Some((before, reason)) = failed {
        (&candidates[before], &candidates[at], reason)
    } else {
        return;
    };
    let outcome = if answered {
        Outcome::Ok
    } else {
        Outcome::Error
    };
    let metrics = &planned.app.metrics;
    metrics.fallback(&from.engine, &to.engine, reason, outcome);
}

/// Tries the candidate at `at`, or the one that takes over from it, and returns the position of the
/// one that was tried with its result. `failed` is the candidate that was tried before, with the
/// reason of its failure.
async fn attempt(
    planned: &PlannedRequest,
    at: usize,
    failed: Option<(usize, FallbackReason)>,
) -> (usize, Result<Response, Error>) {
    let candidates = &planned.plan.candidates;
    let candidate = &candidates[at];
    let note = choice_note(planned, at, failed);
    begun(planned, candidate, note.clone());
    // Pinned first: a span around a future moves it, and a pinned one is moved as a pointer.
    let granted = pin!(overflow::wait_for_permit(planned, at));
    match granted.instrument(debug_span!("permit")).await {
        Err(error) => (at, Err(error)),
        Ok(GrantedCandidate { at: used, permit }) if used != at => {
            let instead = overflow::overloaded(&candidates[used]);
            tracing::info!(
                id = %planned.active.id,
                engine = %instead.engine,
                model = %instead.model,
                "taken over from {}/{}, where the wait is too long",
                candidate.engine,
                candidate.model,
            );
            tried(planned, &instead);
            let note = Some(busy_note(candidate));
            (used, send(planned, &instead, note, permit).await)
        }
        Ok(GrantedCandidate { permit, .. }) => {
            let grown = planned
                .too_long
                .and_then(|too_long| too_long.note(at, permit.context));
            let shortened = planned.shortened.map(|left| {
                format!("the answer is kept to {left} tokens: the context holds no more")
            });
            let again = planned.asked_again.filter(|again| *again == at);
            let again = again.map(|_| vanished::NOTE.to_owned());
            let said = [note, grown, shortened, again];
            let notes: Vec<String> = said.into_iter().flatten().collect();
            let note = (!notes.is_empty()).then(|| notes.join("; "));
            let answer = send(planned, candidate, note, permit).await;
            // Whose place failed only now may go on there with the next turn.
            if answer.is_ok() && !(failed.is_some() && planned.demand.later_turn) {
                planned.app.router.stick(&planned.demand, candidate);
            }
            (at, answer)
        }
    }
}

/// Returns the sentence that says why the candidate at `at` is tried, where it is not the one that usually answers.
fn choice_note(
    planned: &PlannedRequest,
    at: usize,
    failed: Option<(usize, FallbackReason)>,
) -> Option<String> {
    let candidates = &planned.plan.candidates;
    if let Some((before, why)) = failed {
        let Candidate { engine, model, .. } = &candidates[before];
        let why = why.as_str();
        return Some(format!("instead of {engine}/{model}, which failed ({why})"));
    }
    let spared = candidates.get(at + 1);
    let spared = spared.filter(|_| candidates[at].reason == Reason::Overload);
    spared.map(busy_note)
}

/// Returns the sentences for the client: `note` on the choice of the candidate, and those on its request.
fn sentences(planned: &PlannedRequest, note: Option<String>) -> Vec<String> {
    let read = planned.chat.notes.iter().map(ToString::to_string);
    note.into_iter().chain(read).collect()
}

/// Notes in the request's record that an attempt begins, with the candidate that is tried first and what is to be
/// said of it: the headers may go out while its permit is waited for.
fn begun(planned: &PlannedRequest, candidate: &Candidate, note: Option<String>) {
    planned.active.begin_attempt();
    let said = sentences(planned, note);
    planned.active.note(|record| record.notes = said);
    tried(planned, candidate);
}

/// Notes in the request's record which candidate is tried now.
fn tried(planned: &PlannedRequest, candidate: &Candidate) {
    let asked = &planned.demand.model;
    let asked = planned.active.has_own_span().then(|| asked.as_str().into());
    planned.active.note(|record| {
        record.asked_model = asked;
        record.engine = Some(Arc::clone(&candidate.engine));
        record.model = Some(Arc::clone(&candidate.model));
        record.reason = Some(candidate.reason);
        record.phase = RequestPhase::Queue;
        record.predicted = candidate.predicted.map(|p| p.first_token());
        record.max_tokens = planned.demand.max_tokens;
        record.class = planned.demand.class;
        record.prompt_tokens = planned.demand.prompt_tokens;
        record.reserve = planned.demand.reserve();
    });
}

fn busy_note(busy: &Candidate) -> String {
    format!("instead of {}/{}, which is busy", busy.engine, busy.model)
}

/// Sends the request through the inner stack with its permit. `note` is a sentence about the choice
/// of the candidate, for the header `x-crucible-note`.
async fn send(
    planned: &PlannedRequest,
    candidate: &Candidate,
    note: Option<String>,
    permit: Permit,
) -> Result<Response, Error> {
    let PlannedRequest { app, active, .. } = planned;
    let said = sentences(planned, note);
    let granted_at = Instant::now();
    let load = permit
        .loaded
        .then(|| app.ledger.loads().last_of(&permit.engine, granted_at));
    active.note(|record| {
        record.granted_at = Some(granted_at);
        record.loaded = permit.loaded;
        record.load = load.flatten();
        record.context = permit.context;
        record.configured_context = Some(permit.configured_context);
        record.target = Some(TargetInstance {
            instance: Arc::clone(&permit.instance),
            whole_context: permit.whole_context,
        });
        record.notes.clone_from(&said);
    });
    let answer = pin!(stack().oneshot(Box::new(RoutedRequest {
        app: app.clone(),
        config: Arc::clone(&planned.config),
        active: Arc::clone(active),
        chat: planned.chat.clone(),
        candidate: candidate.clone(),
        permit,
        key: planned.key.clone(),
        defaults: RequestDefaults::default(),
    })));
    let mut response = answer.instrument(debug_span!("send")).await?;
    if !said.is_empty() {
        reply::add_notes(response.headers_mut(), &said);
    }
    Ok(response)
}

/// Returns the reason for which the next candidate is tried, as the metrics name it.
fn fallback_reason(error: &Error) -> FallbackReason {
    match error.kind {
        _ if error.not_loaded => FallbackReason::LoadFailed,
        _ if error.upstream_failure() == Some(UpstreamError::Http5xx) => FallbackReason::Http5xx,
        ErrorKind::NoEngine => FallbackReason::BreakerOpen,
        ErrorKind::QueueFull => FallbackReason::QueueFull,
        ErrorKind::QueueTimeout => FallbackReason::Timeout,
        ErrorKind::LoadFailed | ErrorKind::LoadTimeout => FallbackReason::LoadFailed,
        ErrorKind::EngineError => FallbackReason::Http5xx,
        ErrorKind::ContextLengthExceeded => FallbackReason::ContextLength,
        _ => FallbackReason::Connect,
    }
}
