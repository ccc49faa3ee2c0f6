//! `POST /v1/chat/completions`: the life of a request after the guard, as one straight line.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use crucible_config::{
    Config,
    checked::{Key, RequestDefaults},
};
use crucible_router::{
    demand::Demand,
    permit::Permit,
    plan::{Candidate, Plan, Reason},
};
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use crate::{
    body::{decode, peek::Peek, surrogates},
    dialect::engine::openai::request::validate_chat,
    error::{Error, FallbackReason, Kind, UpstreamError},
    guard::Verdict,
    metrics::Outcome,
    pipeline::{
        self, Routed, context_length, demand,
        growth::{self, TooLong},
        overflow::{self, Seat},
        vanished,
    },
    relay::late,
    reply::{self, Told, or_refuse},
    request::{Exchange, Phase, TargetInstance},
    state::AppState,
};

/// A request that comes before the engines were asked for the first time waits this long.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

/// What is said of a body that was mended.
const HALVES: &str = "half a character (a lone surrogate) is sent as U+FFFD";

/// A request whose plan is made.
pub(super) struct Planned {
    pub(super) app: AppState,
    pub(super) config: Arc<Config>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) body: Bytes,
    pub(super) peek: Arc<Peek>,
    pub(super) demand: Demand,
    pub(super) plan: Plan,
    /// The candidate's engine found the prompt too long for its context.
    pub(super) too_long: Option<TooLong>,
    /// Tokens that the engine has room for beside the prompt, where the request asked for more.
    pub(super) shortened: Option<u64>,
    /// Halves of surrogate pairs were replaced in the body.
    halves: bool,
    /// The place in the plan of what had gone from its engine and was asked once more.
    asked_again: Option<usize>,
    key: Option<Arc<Key>>,
    /// When the headers of a stream go out at the latest.
    pub(super) commit_at: Option<Instant>,
}

pub(crate) async fn completions(
    State(app): State<AppState>,
    Extension(exchange): Extension<Arc<Exchange>>,
    Extension(verdict): Extension<Verdict>,
    request: Request,
) -> Response {
    or_refuse(answer(app, exchange, verdict, request).await)
}

async fn answer(
    app: AppState,
    exchange: Arc<Exchange>,
    verdict: Verdict,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = decode::receive(&head.headers, body, &config).await?;
    let (body, halves) = surrogates::mended(body);
    let peek = Arc::new(Peek::of(&body, config.limits.json_depth)?);
    let stream = peek.stream;
    exchange.note(|record| record.stream = stream);
    let mut demand = demand::of(&head.headers, &body, &peek, &config, &exchange.id, &verdict)?;
    exchange.note(|record| record.hops = Arc::clone(&demand.hops));
    if !app.router.view().settled {
        // Not settled by then: the plan is made with what is known.
        let _ = timeout(FIRST_REFRESH, app.router.settled()).await;
    }
    let plan = app.router.plan_asking(&demand).await?;
    let best = plan
        .candidates
        .first()
        .cloned()
        .ok_or_else(|| Error::new(Kind::Internal, "the plan is empty"))?;
    if let Some(engine) = app.router.engine_config(&best.engine) {
        validate_chat(&body, &peek, engine.kind)?;
    }
    let commit = config.timeouts.commit;
    let commit_at = stream.then(|| Instant::now() + commit);
    demand.commits = commit_at.map(Instant::into_std);
    let (failed, named) = (Arc::clone(&exchange), Arc::clone(&exchange));
    let attempts = Box::pin(attempts(Box::new(Planned {
        app,
        config,
        exchange,
        body,
        peek,
        demand,
        plan,
        too_long: None,
        shortened: None,
        halves,
        asked_again: None,
        key: verdict.key,
        commit_at,
    })));
    if !stream {
        return attempts.await;
    }
    let head = move || committed(&named, best).stream(Body::empty());
    late::commit(attempts, commit, head, move |error| {
        failed.note(|record| record.error = Some(error.kind));
    })
    .await
}

/// What the headers say when they go out before the answer: the candidate that is tried, which is
/// final from now on.
fn committed(exchange: &Exchange, best: Candidate) -> Told {
    exchange.note(|record| {
        record.committed_at = Some(Instant::now());
        Told {
            engine: record.engine.clone().unwrap_or(best.engine),
            model: record.model.clone().unwrap_or(best.model),
            reason: record.reason.unwrap_or(best.reason),
            defaults: Vec::new(),
            notes: record.note.clone().into_iter().collect(),
        }
    })
}

/// The candidates in order, the next one only while nothing was sent to the client.
async fn attempts(mut planned: Box<Planned>) -> Result<Response, Error> {
    let candidates = &planned.plan.candidates;
    let mut at = 0;
    let mut failed = None;
    while at < candidates.len() {
        let (used, result) = attempt(&planned, at, failed).await;
        let outcome = match &result {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Error,
        };
        if used != at {
            let why = FallbackReason::Overload;
            fell_back(&planned, &candidates[at], &candidates[used], why, outcome);
        } else if let Some((before, why)) = failed {
            fell_back(&planned, before, &candidates[at], why, outcome);
        }
        let Err(error) = result else {
            return result;
        };
        let mut error = context_length::judged(&planned.exchange, error);
        let candidate = &candidates[used];
        if let Some(overflow) = error.overflow {
            growth::learn(&planned, candidate, overflow);
        }
        if let Some(left) = growth::left_for_answer(&planned, &error) {
            (planned.body, planned.peek) = growth::shortened(&planned, left)?;
            planned.demand.max_tokens = Some(left);
            planned.shortened = Some(left);
            at = used;
            continue;
        }
        if planned.asked_again.is_none() && vanished::is_gone(&planned, candidate, &mut error).await
        {
            planned.asked_again = Some(used);
            at = used;
            continue;
        }
        if let Some(overflow) = error.overflow
            && let Some(too_long) = TooLong::of(&planned, used, overflow)
        {
            tracing::info!(
                id = %planned.exchange.id,
                engine = %candidate.engine,
                model = %candidate.model,
                tokens = too_long.tokens,
                counted = too_long.counted,
                "the prompt is longer than estimated, more context is asked for"
            );
            planned.demand.counted = Some(too_long.tokens);
            planned.too_long = Some(too_long);
            at = used;
            continue;
        }
        failed = Some((candidate, fallback_reason(&error)));
        at = used + 1;
        // What is too long here may fit the next.
        let next = error.retryable() || error.kind == Kind::ContextLengthExceeded;
        if !next || at == candidates.len() || planned.exchange.committed() {
            return Err(context_length::worded(&planned.exchange, error));
        }
        tracing::warn!(
            id = %planned.exchange.id,
            engine = %candidate.engine,
            model = %candidate.model,
            %error,
            "attempt failed, the next candidate is tried"
        );
    }
    Err(Error::new(Kind::Internal, "the plan is empty"))
}

/// Tries the candidate at `at`, or the one that takes over from it; gives which it was. `failed`
/// was tried before.
async fn attempt(
    planned: &Planned,
    at: usize,
    failed: Option<(&Candidate, FallbackReason)>,
) -> (usize, Result<Response, Error>) {
    let candidates = &planned.plan.candidates;
    let candidate = &candidates[at];
    tried(planned, candidate);
    let next = candidates.get(at + 1);
    let spared = next.filter(|_| candidate.reason == Reason::Overload);
    let note = match (failed, spared) {
        (Some((before, why)), _) => Some(format!(
            "instead of {}/{}, which failed ({})",
            before.engine,
            before.model,
            why.as_str()
        )),
        (None, Some(busy)) => Some(busy_note(busy)),
        (None, None) => None,
    };
    match overflow::seat(planned, at).await {
        Err(error) => (at, Err(error)),
        Ok(Seat { at: used, permit }) if used != at => {
            let instead = overflow::overloaded(&candidates[used]);
            tracing::info!(
                id = %planned.exchange.id,
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
        Ok(Seat { permit, .. }) => {
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

/// Notes who is asked now.
fn tried(planned: &Planned, candidate: &Candidate) {
    planned.exchange.note(|record| {
        record.engine = Some(Arc::clone(&candidate.engine));
        record.model = Some(Arc::clone(&candidate.model));
        record.reason = Some(candidate.reason);
        record.phase = Phase::Queue;
        // Of an attempt before this one.
        record.error = None;
        record.granted_at = None;
        record.asked = None;
        record.sent_at = None;
        record.first_token_at = None;
        record.predicted = candidate.predicted.map(|p| p.first_token());
        record.queued_at.get_or_insert_with(Instant::now);
        record.client = planned.key.as_ref().map(|key| Arc::clone(&key.name));
        record.asked_by = planned.demand.client.clone();
        record.max_tokens = planned.demand.max_tokens;
        record.class = planned.demand.class;
        record.prompt_tokens = planned.demand.prompt_tokens;
        record.reserve = planned.demand.reserve();
    });
}

fn busy_note(busy: &Candidate) -> String {
    format!("instead of {}/{}, which is busy", busy.engine, busy.model)
}

/// Sends to the holder of the permit; `note` says whose place it takes.
async fn send(
    planned: &Planned,
    candidate: &Candidate,
    note: Option<String>,
    permit: Permit,
) -> Result<Response, Error> {
    let Planned { app, exchange, .. } = planned;
    let halves = planned.halves.then(|| HALVES.to_owned());
    let said: Vec<String> = note.into_iter().chain(halves).collect();
    let note = (!said.is_empty()).then(|| said.join("; "));
    exchange.note(|record| {
        record.granted_at = Some(Instant::now());
        record.loaded = permit.loaded;
        record.context = permit.context;
        record.configured_context = Some(permit.configured_context);
        record.asked = Some(TargetInstance {
            instance: Arc::clone(&permit.instance),
            whole_context: permit.whole_context,
        });
        record.note.clone_from(&note);
    });
    let mut response = pipeline::stack()
        .oneshot(Box::new(Routed {
            app: app.clone(),
            config: Arc::clone(&planned.config),
            exchange: Arc::clone(exchange),
            body: planned.body.clone(),
            peek: Arc::clone(&planned.peek),
            candidate: candidate.clone(),
            permit,
            key: planned.key.clone(),
            defaults: RequestDefaults::default(),
        }))
        .await?;
    if let Some(note) = note {
        reply::add_note(response.headers_mut(), &note);
    }
    Ok(response)
}

fn fell_back(
    planned: &Planned,
    from: &Candidate,
    to: &Candidate,
    why: FallbackReason,
    outcome: Outcome,
) {
    planned
        .app
        .metrics
        .fallback(&from.engine, &to.engine, why, outcome);
}

/// Why the next candidate is tried.
fn fallback_reason(error: &Error) -> FallbackReason {
    match error.kind {
        _ if error.not_loaded => FallbackReason::LoadFailed,
        _ if error.upstream_failure() == Some(UpstreamError::Http5xx) => FallbackReason::Http5xx,
        Kind::NoEngine => FallbackReason::BreakerOpen,
        Kind::QueueFull => FallbackReason::QueueFull,
        Kind::QueueTimeout => FallbackReason::Timeout,
        Kind::LoadFailed | Kind::LoadTimeout => FallbackReason::LoadFailed,
        Kind::EngineError => FallbackReason::Http5xx,
        Kind::ContextLengthExceeded => FallbackReason::ContextLength,
        _ => FallbackReason::Connect,
    }
}
