//! `GET /v1/models` and `GET /v1/models/{id}`: every name that a request may use.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Uri};

use crate::{
    dialect::{
        anthropic::models::{self as anthropic, ModelPage},
        openai::models as openai,
    },
    error::{Error, ErrorKind},
    guard,
    reply::{self, or_refuse},
    state::AppState,
};

pub(super) async fn list(State(app): State<AppState>, uri: Uri, headers: HeaderMap) -> Response {
    app.router.settled().await;
    let listing = app.router.listing();
    if is_anthropic(&headers) {
        return reply::json(&anthropic::list(&listing, &ModelPage::of(uri.query())));
    }
    let for_crucible = headers.contains_key(&guard::hops::X_CRUCIBLE_HOPS);
    reply::json(&openai::list(&listing, for_crucible))
}

/// Whether a client reads the documents in Anthropic's shape; its clients ask the same paths.
fn is_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// Answers for one name, which may contain slashes.
pub(super) async fn one(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    app.router.settled().await;
    let listing = app.router.listing();
    let found = listing
        .iter()
        .find(|listed| *listed.id == *id)
        .or_else(|| listing.iter().find(|l| l.id.eq_ignore_ascii_case(&id)));
    or_refuse(match found {
        Some(listed) if is_anthropic(&headers) => Ok(reply::json(&anthropic::model(
            &listed.id,
            listed.max_context,
        ))),
        Some(listed) => Ok(reply::json(&openai::model(listed))),
        None => unknown(&app, id, is_anthropic(&headers)).await,
    })
}

/// Answers for a name that is not listed and that the plan may still resolve (`:latest`, a glob).
async fn unknown(app: &AppState, id: String, is_anthropic: bool) -> Result<Response, Error> {
    let demand = crucible_router::demand::Demand {
        model: id,
        ..crucible_router::demand::Demand::default()
    };
    let plan = app.router.plan_asking(&demand).await?;
    let best = plan
        .candidates
        .first()
        .ok_or_else(|| Error::new(ErrorKind::ModelNotFound, "unknown model").param("model"))?;
    Ok(reply::json(&if is_anthropic {
        anthropic::model(&demand.model, None)
    } else {
        openai::unlisted_model(&demand.model, &best.engine)
    }))
}
