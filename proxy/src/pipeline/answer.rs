//! The life of a request after the guard, in order: its body is read, it is planned, the candidates
//! are tried, and the headers of a stream go out at the latest after `timeouts.commit`.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use crucible_config::Config;
use futures_util::TryFutureExt as _;
use http::HeaderMap;
use tokio::time::Instant;
use tracing::{Instrument as _, debug_span};

use super::{
    attempts, committed_head::CommittedHead, plan, planned_request::PlannedRequest,
    residency::AskedModel,
};
use crate::{
    body::decode,
    dialect::{
        ClientRequest,
        chat::{AnswerWriter, ChatRequest},
    },
    error::Error,
    guard::AdmittedClient,
    relay::late,
    reply::or_refuse,
    request::{ActiveRequest, waits},
    state::AppState,
};

/// Handles a request on any path of a client format. An error becomes an answer in that format.
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
    let (headers, chat) = received(&active, &config, request).await?;
    if let Some(wish) = chat.residency() {
        let asked = AskedModel::of(&app, &config, &active, &headers, &chat, &admitted);
        return Box::pin(asked.answer(wish)).await;
    }
    let stream = chat.peek.stream;
    let respelled = respelling(chat.writer.clone());
    let (mut demand, plan) = {
        // A span around a future moves it. Pinned before, it is moved as a pointer.
        let planned = pin!(plan::plan(
            &app.router,
            &config,
            &headers,
            &chat,
            &active.id,
            &admitted,
        ));
        let planned = waits::for_lists(&active, planned.instrument(debug_span!("plan"))).await;
        planned.map_err(&respelled)?
    };
    active.note(|record| record.hops = Arc::clone(&demand.hops));
    let commit = config.timeouts.commit;
    let commit_at = stream.then(|| Instant::now() + commit);
    demand.commits = commit_at.map(Instant::into_std);
    let committed = stream.then(|| {
        Box::new(CommittedHead {
            app: app.clone(),
            config: Arc::clone(&config),
            active: Arc::clone(&active),
            chat: chat.clone(),
            key: admitted.key.clone(),
            best: plan.candidates[0].clone(),
        })
    });
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
    }))
    .map_err(respelled);
    match committed {
        None => pin!(answered).await,
        Some(committed) => in_time(answered, committed, commit).await,
    }
}

/// Waits for the answer of a stream. Where it is not there after `commit`, the headers go out
/// first, and an error can only be sent inside the stream.
async fn in_time(
    answered: impl Future<Output = Result<Response, Error>> + Send + 'static,
    committed: Box<CommittedHead>,
    commit: Duration,
) -> Result<Response, Error> {
    let active = Arc::clone(&committed.active);
    let dialect = active.dialect;
    // After a late commit they go on inside the body, where nothing else enters the span of the request.
    let attempts = Box::pin(answered.instrument(active.span.clone()));
    let head = move || {
        let head = committed.written();
        head.stream(dialect.stream_type(), Body::empty())
    };
    late::commit(attempts, commit, dialect, head, move |error| {
        active.note(|record| record.error = Some(error.kind));
    })
    .await
}

/// Receives the body of a request and reads it in the client's format. Returns the request's
/// headers and the chat request; the error is a body that is too long, too slow or malformed.
pub(super) async fn received(
    active: &ActiveRequest,
    config: &Config,
    request: Request,
) -> Result<(HeaderMap, ChatRequest), Error> {
    let (head, body) = request.into_parts();
    let body = {
        let received = pin!(decode::receive(&head.headers, body, config));
        waits::for_body(active, received.instrument(debug_span!("body"))).await?
    };
    if let Some(inspected) = active.inspected.get() {
        inspected.received(&body);
    }
    let chat = active.dialect.read(ClientRequest {
        headers: &head.headers,
        body,
        config,
    })?;
    active.note(|record| record.stream = chat.peek.stream);
    Ok((head.headers, chat))
}

/// Returns the change to an error that names a path of the chat request: it becomes the client's.
fn respelling(writer: Option<Arc<dyn AnswerWriter>>) -> impl Fn(Error) -> Error {
    move |error| match &writer {
        Some(writer) => writer.respelled(error),
        None => error,
    }
}
