//! `POST /v1/messages/count_tokens`: the number of tokens of a prompt, without a permit and without
//! a load.
//!
//! Where an engine has the model loaded and can count, it is asked, for at most 200 ms. Otherwise
//! the count is estimated from the bytes of the prompt, by the bytes per token that were measured
//! for the model, and the header `x-crucible-note` says so. Editors ask up to fifty times a second.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use crucible_config::checked::RequestDefaults;
use crucible_router::{
    demand::Demand,
    engine::{LoadTuple, token_of},
    plan::Candidate,
    predict,
    refusal::Refusal,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::{answer::received, demand, plan};
use crate::{
    dialect::{
        chat::ChatRequest,
        engine::{EngineTarget, format_of},
    },
    error::Error,
    guard::AdmittedClient,
    relay::collect::collect,
    reply::{self, add_notes, or_refuse},
    request::{ActiveRequest, waits},
    state::AppState,
    telemetry::trace_context::TraceHeaders,
    upstream::Prompt,
};

/// The longest wait for an engine's count.
const BUDGET: Duration = Duration::from_millis(200);

/// The most bytes of an engine's answer with its count.
const ANSWER: usize = 64 * 1024;

/// The note on a count that no engine made.
const ESTIMATED: &str = "input_tokens is estimated from the bytes of the prompt";

/// The answer with the count, in the form that both engines and Crucible write.
#[derive(Deserialize, Serialize)]
struct CountedPrompt {
    input_tokens: u64,
}

/// Handles a request for a count; an error becomes an answer in the client's format.
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
    let demand = demand::of(&headers, &chat, &config, &active.id, &admitted)?;
    let planned = async {
        plan::first_refresh(&app.router).await;
        app.router.plan_asking(&demand).await
    };
    let candidate = match waits::for_lists(&active, planned).await {
        Ok(planned) => planned.candidates.into_iter().next(),
        Err(refusal @ Refusal::UnknownModel { .. }) => return Err(refusal.into()),
        // Whether it could be served now does not change how long it is.
        Err(_) => None,
    };
    let exact = match &candidate {
        Some(candidate) => ask(&app, &chat, &demand, candidate, active.trace_headers()).await,
        None => None,
    };
    if let Some(input_tokens) = exact {
        return Ok(reply::document(&CountedPrompt { input_tokens }));
    }
    let estimate = demand.prompt_tokens;
    let tokens = candidate.map_or(estimate, |candidate| {
        let view = app.router.view();
        predict::prompt_tokens(
            &view.measurements,
            &candidate.engine,
            &candidate.model,
            estimate,
        )
    });
    let mut response = reply::document(&CountedPrompt {
        input_tokens: tokens.max(1),
    });
    add_notes(response.headers_mut(), &[ESTIMATED.to_owned()]);
    Ok(response)
}

/// Asks the engine of `candidate` for its count; `None` where it cannot count, does not have the
/// model loaded, or does not answer in time.
async fn ask(
    app: &AppState,
    chat: &ChatRequest,
    demand: &Demand,
    candidate: &Candidate,
    trace: Option<TraceHeaders>,
) -> Option<u64> {
    let engine = app.router.engine_config(&candidate.engine)?;
    let format = format_of(engine.kind);
    let path = format.counting_path()?;
    let view = app.router.view();
    let of_engine = view.engine(&candidate.engine)?;
    let runner = of_engine.runner(&candidate.model);
    let mut residents = of_engine.residents.iter();
    let resident = residents.find(|resident| *resident.info.model == *runner)?;
    let call = format.write(
        chat,
        &EngineTarget {
            model: &candidate.model,
            instance: &resident.info.instance,
            context: resident.info.context,
            tuple: &LoadTuple::default(),
            defaults: &RequestDefaults::default(),
            prefix: app.config.current().prefix,
            capabilities: &|| app.router.capabilities(candidate),
            event_limit: ANSWER,
        },
    );
    let prompt = Prompt {
        engine: Arc::clone(&candidate.engine),
        address: app.router.engine_address(&candidate.engine)?,
        path,
        token: token_of(&engine).map(Arc::from),
        hops: Arc::clone(&demand.hops),
        trace,
        body: call.ok()?.body,
    };
    timeout(BUDGET, count(app, &prompt)).await.ok().flatten()
}

async fn count(app: &AppState, prompt: &Prompt) -> Option<u64> {
    let response = app.upstream.send(prompt).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let body = collect(response.into_body(), ANSWER, Instant::now() + BUDGET).await;
    let counted: CountedPrompt = serde_json::from_slice(&body.ok()?).ok()?;
    Some(counted.input_tokens)
}
