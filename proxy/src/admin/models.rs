//! `GET /v1/models` and `GET /v1/models/{id}`: every name that a request may use.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;

use crate::{
    dialect::{anthropic, openai::models as openai},
    error::{Error, Kind},
    guard,
    reply::{self, or_refuse},
    state::AppState,
};

pub(super) async fn list(State(app): State<AppState>, headers: HeaderMap) -> Response {
    app.router.settled().await;
    let listing = app.router.listing();
    // Anthropic's clients ask the same path and read another shape.
    if headers.contains_key("anthropic-version") {
        return reply::json(&anthropic::model_list(&listing));
    }
    let for_crucible = headers.contains_key(&guard::hops::X_CRUCIBLE_HOPS);
    reply::json(&openai::list(&listing, for_crucible))
}

/// Answers for one name, which may contain slashes.
pub(super) async fn one(State(app): State<AppState>, Path(id): Path<String>) -> Response {
    app.router.settled().await;
    let listing = app.router.listing();
    let found = listing
        .iter()
        .find(|listed| *listed.id == *id)
        .or_else(|| listing.iter().find(|l| l.id.eq_ignore_ascii_case(&id)));
    or_refuse(match found {
        Some(listed) => Ok(reply::json(&openai::model(listed))),
        None => unknown(&app, id).await,
    })
}

/// Answers for a name that is not listed and that the plan may still resolve (`:latest`, a glob).
async fn unknown(app: &AppState, id: String) -> Result<Response, Error> {
    let demand = crucible_router::demand::Demand {
        model: id,
        ..crucible_router::demand::Demand::default()
    };
    let plan = app.router.plan_asking(&demand).await?;
    let best = plan
        .candidates
        .first()
        .ok_or_else(|| Error::new(Kind::ModelNotFound, "unknown model").param("model"))?;
    Ok(reply::json(&openai::unlisted_model(
        &demand.model,
        &best.engine,
    )))
}
