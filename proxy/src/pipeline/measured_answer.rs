//! Prompts on LM Studio's older API, `/api/v0`: they are answered like OpenAI's, and whole answers say how they were
//! made.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use crucible_router::view::View;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;

use super::answer;
use crate::{
    body::{decode, peek::PeekedBody},
    dialect::engine_lists::{ListedModel, MeasuredAnswer, with_facts},
    error::Error,
    guard::AdmittedClient,
    reply::or_refuse,
    request::{ActiveRequest, RequestFacts, waits},
    state::AppState,
};

/// Handles a request on one of these paths.
pub(crate) async fn handle(
    State(app): State<AppState>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    Extension(admitted): Extension<AdmittedClient>,
    request: Request,
) -> Response {
    or_refuse(answered(app, active, admitted, request).await)
}

async fn answered(
    app: AppState,
    active: Arc<ActiveRequest>,
    admitted: AdmittedClient,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (mut head, body) = request.into_parts();
    let received = decode::receive(&head.headers, body, &config);
    let body: Bytes = waits::for_body(&active, received).await?;
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    let limits = AnswerLimits::of(&body, config.limits.json_depth);
    let again = Request::from_parts(head, Body::from(body));
    let (state, record) = (State(app.clone()), Extension(Arc::clone(&active)));
    let response = answer::handle(state, record, Extension(admitted), again).await;
    let facts = active.facts();
    if facts.stream || response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    // It is whole, and in memory.
    let Ok(whole) = body.collect().await else {
        return Ok(Response::from_parts(head, Body::empty()));
    };
    head.headers.remove(header::CONTENT_LENGTH);
    let view = app.router.view();
    let listed = listed(&view, &facts);
    let whole = with_facts(&whole.to_bytes(), &limits.measured(&facts), listed.as_ref());
    Ok(Response::from_parts(head, Body::from(whole)))
}

/// The bounds of an answer that its request sets.
#[derive(Clone, Copy, Debug, Default)]
struct AnswerLimits {
    has_stops: bool,
    has_limit: bool,
}

// === impl AnswerLimits ===

impl AnswerLimits {
    fn of(body: &Bytes, depth: usize) -> Self {
        // What is wrong with it is told by whoever reads it next.
        let Ok(peek) = PeekedBody::of(body, depth) else {
            return Self::default();
        };
        let has = |name| peek.raw(body, name).is_some();
        Self {
            has_stops: has("stop"),
            has_limit: has("max_tokens") || has("max_completion_tokens"),
        }
    }

    /// The facts of an answer: the engine's own times where it tells them, else those of Crucible's clock.
    fn measured(self, facts: &RequestFacts) -> MeasuredAnswer {
        let usage = facts.usage.unwrap_or_default();
        let clocked = facts.output_time.map(|took| (usage.completion, took));
        let told = usage.timing.output.map(|timed| (timed.tokens, timed.took));
        let output = told.or(clocked);
        let seen = facts.first_token_at.zip(facts.sent_at);
        let seen = seen.map(|(first, sent)| first.saturating_duration_since(sent));
        MeasuredAnswer {
            first_token: seen.or_else(|| usage.timing.prompt.map(|timed| timed.took)),
            generation: output.map(|(_, took)| took),
            tokens: output.map(|(tokens, _)| tokens),
            has_stops: self.has_stops,
            has_limit: self.has_limit,
        }
    }
}

/// The model that answered, as its engine describes it.
fn listed<'a>(view: &'a View, facts: &'a RequestFacts) -> Option<ListedModel<'a>> {
    let engine = view.engine(facts.engine.as_deref()?)?;
    let name = facts.model.as_deref()?;
    Some(ListedModel {
        name,
        engine,
        model: engine.models.iter().find(|model| *model.id == *name)?,
        context: facts.context,
    })
}
