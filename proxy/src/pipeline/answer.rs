//! `POST /v1/chat/completions`: the life of a request after the guard, as one straight line.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use crucible_router::plan::Candidate;
use tokio::time::{Instant, timeout};

use super::{attempts, demand, planned_request::PlannedRequest};
use crate::{
    body::decode,
    dialect::engine::openai::request::validate_chat,
    error::{Error, Kind},
    guard::AdmittedClient,
    relay::late,
    reply::{AnswerHead, or_refuse},
    request::ActiveRequest,
    state::AppState,
};

/// A request that comes before the engines were asked for the first time waits this long.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

pub(crate) async fn handle(
    State(app): State<AppState>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    Extension(admitted): Extension<AdmittedClient>,
    request: Request,
) -> Response {
    or_refuse(answer(app, active, admitted, request).await)
}

async fn answer(
    app: AppState,
    active: Arc<ActiveRequest>,
    admitted: AdmittedClient,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = decode::receive(&head.headers, body, &config).await?;
    let chat = active.dialect.read(body, &config.limits)?;
    let stream = chat.peek.stream;
    active.note(|record| record.stream = stream);
    let mut demand = demand::of(&head.headers, &chat, &config, &active.id, &admitted)?;
    active.note(|record| record.hops = Arc::clone(&demand.hops));
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
        validate_chat(&chat.body, &chat.peek, engine.kind)?;
    }
    let commit = config.timeouts.commit;
    let commit_at = stream.then(|| Instant::now() + commit);
    demand.commits = commit_at.map(Instant::into_std);
    let (failed, named) = (Arc::clone(&active), Arc::clone(&active));
    let attempts = Box::pin(attempts::answered(Box::new(PlannedRequest {
        app,
        config,
        active,
        chat,
        demand,
        plan,
        too_long: None,
        shortened: None,
        asked_again: None,
        key: admitted.key,
        commit_at,
    })));
    if !stream {
        return attempts.await;
    }
    let dialect = named.dialect;
    let head = move || committed(&named, best).stream(dialect.stream_type(), Body::empty());
    late::commit(attempts, commit, dialect, head, move |error| {
        failed.note(|record| record.error = Some(error.kind));
    })
    .await
}

/// What the headers say when they go out before the answer: the candidate that is tried, which is
/// final from now on.
fn committed(active: &ActiveRequest, best: Candidate) -> AnswerHead {
    active.note(|record| {
        record.committed_at = Some(Instant::now());
        AnswerHead {
            engine: record.engine.clone().unwrap_or(best.engine),
            model: record.model.clone().unwrap_or(best.model),
            reason: record.reason.unwrap_or(best.reason),
            defaults: Vec::new(),
            notes: record.note.clone().into_iter().collect(),
        }
    })
}
