//! `POST /v1/chat/completions`: the life of a request after the guard, as one straight line.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use crucible_config::{Config, checked::Key};
use crucible_router::plan::{Candidate, Plan, Reason};
use http::request::Parts;
use tower::ServiceExt as _;

use super::{App, exchange::{Exchange, Phase}, or_refuse, respond};
use crate::{
    body::{self, Peek},
    demand,
    error::{Error, Kind},
    guard::Verdict,
    relay::late,
    routed::{self, Routed},
};

/// A request whose plan is made.
struct Planned {
    app: App,
    config: Arc<Config>,
    exchange: Arc<Exchange>,
    body: Bytes,
    peek: Arc<Peek>,
    demand: crucible_router::demand::Demand,
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
    let peek = Arc::new(Peek::of(&body, &config.limits)?);
    let stream = peek.stream();
    exchange.note(|record| record.stream = stream);
    let demand = demand::of(&head, &body, &peek, &config, &exchange.id, verdict.key.as_ref())?;
    app.router.settled().await;
    let plan = app.router.plan(&demand)?;
    crate::dialect::openai::check(&body, &peek)?;
    let planned = Planned {
        app,
        config,
        exchange,
        body,
        peek,
        demand,
        plan,
        key: verdict.key,
    };
    if stream {
        let commit = planned.config.timeouts.commit;
        let best = planned.plan.candidates.first().cloned();
        let attempts = Box::pin(attempts(planned));
        late::commit(attempts, commit, move || best.map(|c| respond::named(&c))).await
    } else {
        attempts(planned).await
    }
}

/// The bounded, decoded body.
async fn read(head: &Parts, body: Body, config: &Config) -> Result<Bytes, Error> {
    let cap = usize::try_from(config.limits.body).unwrap_or(usize::MAX);
    body::collect(&head.headers, body, cap, config.timeouts.body).await
}

/// The candidates in order, the next one only while nothing was sent to the client.
async fn attempts(planned: Planned) -> Result<Response, Error> {
    let mut failed = None;
    for candidate in &planned.plan.candidates {
        match attempt(&planned, candidate.clone()).await {
            Ok(response) => return Ok(response),
            Err(error) if error.kind.retryable() => {
                tracing::warn!(
                    request = %planned.exchange.id,
                    engine = %candidate.engine,
                    model = %candidate.model,
                    %error,
                    "attempt failed"
                );
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(failed.unwrap_or_else(|| Error::new(Kind::Internal, "the plan was empty")))
}

async fn attempt(planned: &Planned, candidate: Candidate) -> Result<Response, Error> {
    let exchange = &planned.exchange;
    exchange.enter_queue(&candidate);
    let permit = planned
        .app
        .router
        .acquire(&candidate, &planned.demand)
        .await?;
    exchange.granted(&permit);
    let response = routed::stack()
        .oneshot(Routed {
            app: planned.app.clone(),
            config: Arc::clone(&planned.config),
            exchange: Arc::clone(exchange),
            body: planned.body.clone(),
            peek: Arc::clone(&planned.peek),
            candidate,
            permit,
            key: planned.key.clone(),
            defaults: crucible_config::checked::RequestDefaults::default(),
        })
        .await?;
    if let Some(conversation) = planned.demand.conversation {
        planned.app.router.stick(conversation, exchange);
    }
    Ok(response)
}
