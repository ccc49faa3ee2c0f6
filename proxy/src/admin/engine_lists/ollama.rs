//! `/api/tags`, `/api/show`, `/api/ps`, `/api/version` and `/api/status`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use crucible_config::checked::EngineKind;
use crucible_router::view::EngineView;
use http::header;
use serde_json::json;

use super::{
    at_length::described_at_length,
    body::{is_verbose, model_of, received},
    listed_now::{ListedNow, find, not_found},
};
use crate::{
    dialect::engine_lists,
    error::Error,
    guard::AdmittedClient,
    reply::{self, or_refuse},
    request::ActiveRequest,
    state::AppState,
};

/// The beginning of Copilot Chat's `User-Agent`: it shows `general.basename` for a model's name (Ollama
/// 0.33, `server/routes.go`, `copilotChatUserAgentPrefix`).
const COPILOT: &str = "GitHubCopilotChat/";

/// The note where an Ollama does not answer in full.
const SHORT: &str = "verbose: the engine did not describe the model at length";

pub(super) async fn tags(
    State(app): State<AppState>,
    Extension(admitted): Extension<AdmittedClient>,
) -> Response {
    let now = ListedNow::of(&app, admitted.key.as_ref()).await;
    reply::json(&engine_lists::tags(&now.models()))
}

pub(super) async fn processes(
    State(app): State<AppState>,
    Extension(admitted): Extension<AdmittedClient>,
) -> Response {
    let now = ListedNow::of(&app, admitted.key.as_ref()).await;
    let name = |engine: &EngineView, model: &str| now.name(&engine.name, model);
    reply::json(&engine_lists::processes(&now.view, SystemTime::now(), name))
}

pub(super) async fn version(State(app): State<AppState>) -> Response {
    app.router.settled().await;
    reply::json(&engine_lists::version(&app.router.view()))
}

/// Whether models may run in Ollama's cloud.
pub(super) async fn status(State(app): State<AppState>) -> Response {
    let config = app.config.current();
    let open = config.engines.iter().any(|engine| engine.allow_cloud);
    reply::json(&json!({ "cloud": { "disabled": !open, "source": "config" } }))
}

pub(super) async fn show(
    State(app): State<AppState>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    Extension(admitted): Extension<AdmittedClient>,
    request: Request,
) -> Response {
    or_refuse(described(&app, &active, &admitted, request).await)
}

async fn described(
    app: &AppState,
    active: &ActiveRequest,
    admitted: &AdmittedClient,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = received(active, &head.headers, body, &config).await?;
    let name = model_of(&body)?;
    let verbose = is_verbose(&body)?;
    let (engine, model) = find(app, &name).await?;
    let now = ListedNow::of(app, admitted.key.as_ref()).await;
    let mut listed = now
        .model(&name, &engine, &model)
        .ok_or_else(|| not_found(&name))?;
    // The list may lack what is asked for: a name without its tag, a model that came a moment ago.
    let key = admitted.key.as_ref();
    listed.context = app.router.context_limit(&engine, &model, key);
    let agent = head.headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    let is_copilot = agent.is_some_and(|agent| agent.starts_with(COPILOT));
    let basename = is_copilot.then_some(&*name);
    let asked = verbose && listed.engine.kind == EngineKind::Ollama;
    let at_length = if asked {
        described_at_length(app, &config, &engine, &model).await
    } else {
        None
    };
    let is_short = asked && at_length.is_none();
    let mut response = reply::json(&engine_lists::show(&listed, basename, at_length));
    if is_short {
        reply::add_notes(response.headers_mut(), &[SHORT.to_owned()]);
    }
    Ok(response)
}
