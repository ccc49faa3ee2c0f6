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
    plan::{Candidate, Plan},
};
use http::request::Parts;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use super::{
    App,
    exchange::{Exchange, Phase},
    or_refuse,
    respond::Told,
};
use crate::{
    body::{
        decode::{self, Encoding},
        peek::Peek,
    },
    demand,
    dialect::openai::validate_chat,
    error::{Error, Kind},
    guard::Verdict,
    metrics::{FallbackReason, Outcome},
    relay::late,
    routed::{self, Routed},
};

/// A request that comes before the engines were asked for the first time waits this long.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

/// A request whose plan is made.
struct Planned {
    app: App,
    config: Arc<Config>,
    exchange: Arc<Exchange>,
    body: Bytes,
    peek: Arc<Peek>,
    demand: Demand,
    plan: Plan,
    key: Option<Arc<Key>>,
}

pub(super) async fn completions(
    State(app): State<App>,
    Extension(exchange): Extension<Arc<Exchange>>,
    Extension(verdict): Extension<Verdict>,
    request: Request,
) -> Response {
    or_refuse(answer(app, exchange, verdict, request).await)
}

async fn answer(
    app: App,
    exchange: Arc<Exchange>,
    verdict: Verdict,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = read(&head, body, &config).await?;
    let peek = Arc::new(Peek::of(&body, config.limits.json_depth)?);
    let stream = peek.stream;
    exchange.note(|record| record.stream = stream);
    let demand = demand::of(
        &head.headers,
        &body,
        &peek,
        &config,
        &exchange.id,
        verdict.key.as_ref(),
    )?;
    // Not settled by then: the plan is made with what is known.
    let _ = timeout(FIRST_REFRESH, app.router.settled()).await;
    let plan = app.router.plan(&demand)?;
    let best = plan
        .candidates
        .first()
        .cloned()
        .ok_or_else(|| Error::new(Kind::Internal, "the plan is empty"))?;
    if let Some(engine) = app.router.engine_config(&best.engine) {
        validate_chat(&body, &peek, engine.kind)?;
    }
    let commit = config.timeouts.commit;
    let failed = Arc::clone(&exchange);
    let attempts = Box::pin(attempts(Planned {
        app,
        config,
        exchange,
        body,
        peek,
        demand,
        plan,
        key: verdict.key,
    }));
    if !stream {
        return attempts.await;
    }
    let head = move || named(&best).stream(Body::empty());
    late::commit(attempts, commit, head, move |error| {
        failed.note(|record| record.error = Some(error.kind));
    })
    .await
}

/// What the headers say when they go out before the answer: the best candidate.
fn named(candidate: &Candidate) -> Told {
    Told {
        engine: Arc::clone(&candidate.engine),
        model: Arc::clone(&candidate.model),
        reason: candidate.reason,
        defaults: Vec::new(),
        notes: Vec::new(),
    }
}

/// The bounded, decoded body.
async fn read(head: &Parts, body: Body, config: &Config) -> Result<Bytes, Error> {
    let cap = usize::try_from(config.limits.body).unwrap_or(usize::MAX);
    decode::check_length(&head.headers, cap)?;
    let encoding = Encoding::of(&head.headers)?;
    decode::collect(body, encoding, cap, config.timeouts.body).await
}

/// The candidates in order, the next one only while nothing was sent to the client.
async fn attempts(planned: Planned) -> Result<Response, Error> {
    let candidates = &planned.plan.candidates;
    let mut why = FallbackReason::Connect;
    for (i, candidate) in candidates.iter().enumerate() {
        let error = match attempt(&planned, candidate).await {
            Ok(response) => {
                if i > 0 {
                    fell_back(&planned, &candidates[i - 1], candidate, why, Outcome::Ok);
                }
                return Ok(response);
            }
            Err(error) => error,
        };
        if i > 0 {
            fell_back(&planned, &candidates[i - 1], candidate, why, Outcome::Error);
        }
        why = fallback_reason(error.kind);
        if !error.kind.retryable() || i + 1 == candidates.len() {
            return Err(error);
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

async fn attempt(planned: &Planned, candidate: &Candidate) -> Result<Response, Error> {
    let Planned { app, exchange, .. } = planned;
    exchange.note(|record| {
        record.engine = Some(Arc::clone(&candidate.engine));
        record.model = Some(Arc::clone(&candidate.model));
        record.reason = Some(candidate.reason);
        record.phase = Phase::Queue;
        // Of an attempt before this one.
        record.error = None;
        record.granted_at = None;
        record.sent_at = None;
        record.first_token_at = None;
        record.queued_at.get_or_insert_with(Instant::now);
        record.client = planned.key.as_ref().map(|key| Arc::clone(&key.name));
        record.class = planned.demand.class;
        record.prompt_tokens = planned.demand.prompt_tokens;
    });
    let permit = app.router.acquire(candidate, &planned.demand).await?;
    exchange.note(|record| {
        record.granted_at = Some(Instant::now());
        record.loaded = permit.loaded;
    });
    let response = routed::stack()
        .oneshot(Routed {
            app: app.clone(),
            config: Arc::clone(&planned.config),
            exchange: Arc::clone(exchange),
            body: planned.body.clone(),
            peek: Arc::clone(&planned.peek),
            candidate: candidate.clone(),
            permit,
            key: planned.key.clone(),
            defaults: RequestDefaults::default(),
        })
        .await?;
    if let Some(conversation) = planned.demand.conversation {
        app.router.stick(conversation, candidate);
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
const fn fallback_reason(kind: Kind) -> FallbackReason {
    match kind {
        Kind::NoEngine => FallbackReason::BreakerOpen,
        Kind::QueueFull => FallbackReason::QueueFull,
        Kind::QueueTimeout => FallbackReason::Timeout,
        Kind::LoadFailed | Kind::LoadTimeout => FallbackReason::LoadFailed,
        Kind::EngineError => FallbackReason::Http5xx,
        _ => FallbackReason::Connect,
    }
}
