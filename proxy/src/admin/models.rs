//! `GET /v1/models` and `GET /v1/models/{id}`: every name that a request may use.

use axum::{
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::{HeaderMap, Uri, request::Parts};

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

/// The name of a model at the end of a path, which may contain slashes. A name that is no UTF-8 is 404 in the
/// client's format.
pub(super) struct ModelInPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for ModelInPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let name = Path::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|_| {
            let message = "the name in the path is not UTF-8, and no model is called so";
            reply::refuse(Error::new(ErrorKind::ModelNotFound, message).param("model"))
        })
    }
}

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
    ModelInPath(id): ModelInPath,
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
