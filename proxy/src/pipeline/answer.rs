//! The life of a request after the guard, as one straight line: body, plan, attempts, late commit.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use crucible_router::plan::Candidate;
use tokio::time::Instant;
use tracing::{Instrument as _, debug_span};

use super::{attempts, plan, planned_request::PlannedRequest};
use crate::{
    body::decode,
    dialect::ClientRequest,
    error::Error,
    guard::AdmittedClient,
    relay::late,
    reply::{AnswerHead, or_refuse},
    request::ActiveRequest,
    state::AppState,
};

/// The handler of every path of a client format.
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
    let body = decode::receive(&head.headers, body, &config)
        .instrument(debug_span!("body"))
        .await?;
    let chat = active.dialect.read(ClientRequest {
        headers: &head.headers,
        body,
        config: &config,
    })?;
    let stream = chat.peek.stream;
    active.note(|record| record.stream = stream);
    let (mut demand, plan) = plan::plan(
        &app.router,
        &config,
        &head.headers,
        &chat,
        &active.id,
        &admitted,
    )
    .instrument(debug_span!("plan"))
    .await?;
    active.note(|record| record.hops = Arc::clone(&demand.hops));
    let best = plan.candidates[0].clone();
    let commit = config.timeouts.commit;
    let commit_at = stream.then(|| Instant::now() + commit);
    demand.commits = commit_at.map(Instant::into_std);
    let (failed, named) = (Arc::clone(&active), Arc::clone(&active));
    let span = active.span.clone();
    let answered = attempts::answered(Box::new(PlannedRequest {
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
    }));
    if !stream {
        return Box::pin(answered).await;
    }
    // After a late commit they go on inside the body, where nothing else enters the span of the request.
    let attempts = Box::pin(answered.instrument(span));
    let dialect = named.dialect;
    let head = move || committed(&named, best).stream(dialect.stream_type(), Body::empty());
    late::commit(attempts, commit, dialect, head, move |error| {
        failed.note(|record| record.error = Some(error.kind));
    })
    .await
}

/// The headers that go out before the answer: they name the candidate that is tried, which is final
/// from now on.
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
