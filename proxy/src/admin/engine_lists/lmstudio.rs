//! `/api/v0/models` and `/api/v1/models`, and one entry of each.

use axum::{Extension, extract::State, response::Response};
use http::HeaderMap;
use serde_json::Value;

use super::listed_now::{ListedNow, find, not_found};
use crate::{
    admin::models::ModelInPath,
    dialect::engine_lists::{self, ListedModel},
    error::Error,
    guard::AdmittedClient,
    reply::{self, or_refuse},
    state::AppState,
};

pub(super) async fn v0_list(
    State(app): State<AppState>,
    Extension(admitted): Extension<AdmittedClient>,
) -> Response {
    let now = ListedNow::of(&app, admitted.key.as_ref()).await;
    reply::json(&engine_lists::v0_list(&now.models()))
}

pub(super) async fn v0_one(
    State(app): State<AppState>,
    Extension(admitted): Extension<AdmittedClient>,
    ModelInPath(id): ModelInPath,
) -> Response {
    or_refuse(one(&app, &admitted, &id, engine_lists::v0_entry).await)
}

pub(super) async fn v1_one(
    State(app): State<AppState>,
    Extension(admitted): Extension<AdmittedClient>,
    ModelInPath(id): ModelInPath,
) -> Response {
    or_refuse(one(&app, &admitted, &id, engine_lists::v1_one).await)
}

/// Answers for one name with the document that `written` makes of it.
async fn one(
    app: &AppState,
    admitted: &AdmittedClient,
    id: &str,
    written: impl Fn(&ListedModel<'_>) -> Value,
) -> Result<Response, Error> {
    let (engine, model) = find(app, id).await?;
    let key = admitted.key.as_ref();
    let now = ListedNow::of(app, key).await;
    let mut listed = now
        .model(id, &engine, &model)
        .ok_or_else(|| not_found(id))?;
    listed.context = app.router.context_limit(&engine, &model, key);
    Ok(reply::json(&written(&listed)))
}

/// A client of Anthropic's API whose base URL is `/api` asks the same path.
pub(super) async fn v1_list(
    State(app): State<AppState>,
    Extension(admitted): Extension<AdmittedClient>,
    headers: HeaderMap,
) -> Response {
    let now = ListedNow::of(&app, admitted.key.as_ref()).await;
    let for_anthropic = headers.contains_key("anthropic-version");
    let list = engine_lists::v1_list(&now.models(), &now.listing, for_anthropic);
    reply::json(&list)
}
