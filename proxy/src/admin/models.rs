//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{
    extract::{Path, State},
    response::Response,
};
use crucible_router::{hop, plan::Listed};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
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
        return reply::json(&anthropic(&listing));
    }
    let for_crucible = headers.contains_key(&guard::hops::X_CRUCIBLE_HOPS);
    let entry = |listed: &Listed| {
        let mut entry = model(listed);
        if for_crucible {
            let via = listed.via.iter().map(|number| &**number);
            let via: Vec<&str> = via.chain([hop::own()]).collect();
            entry[hop::VIA] = json!(via);
        }
        entry
    };
    let data: Vec<Value> = listing.iter().map(entry).collect();
    reply::json(&json!({ "object": "list", "data": data }))
}

/// The name may contain slashes.
pub(super) async fn one(State(app): State<AppState>, Path(id): Path<String>) -> Response {
    app.router.settled().await;
    let listing = app.router.listing();
    let found = listing
        .iter()
        .find(|listed| *listed.id == *id)
        .or_else(|| listing.iter().find(|l| l.id.eq_ignore_ascii_case(&id)));
    or_refuse(match found {
        Some(listed) => Ok(reply::json(&model(listed))),
        None => unknown(&app, id).await,
    })
}

/// A name that is not listed may still be one that the plan understands (`:latest`, a glob).
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
    Ok(reply::json(&json!({
        "id": demand.model,
        "object": "model",
        "created": 0,
        "owned_by": best.engine,
    })))
}

fn model(listed: &Listed) -> Value {
    json!({
        "id": listed.id,
        "object": "model",
        "created": listed.created,
        "owned_by": listed.owned_by,
    })
}

fn anthropic(listing: &[Listed]) -> Value {
    let data: Vec<Value> = listing
        .iter()
        .map(|listed| {
            json!({
                "type": "model",
                "id": listed.id,
                "display_name": listed.id,
                "created_at": "1970-01-01T00:00:00Z",
            })
        })
        .collect();
    json!({
        "data": data,
        "has_more": false,
        "first_id": listing.first().map(|l| &*l.id),
        "last_id": listing.last().map(|l| &*l.id),
    })
}
