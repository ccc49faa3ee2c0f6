//! `POST /api/pull` while it is closed: a pull of a model that is there succeeds, since a client that asks for
//! it wants to have the model and has it. Nothing is pulled, and every other pull is refused.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    body::{model_of, received},
    listed_now::find,
};
use crate::{
    error::{Error, ErrorKind},
    guard::paths::{PULL, closed},
    reply::{self, or_refuse, unbuffered},
    request::ActiveRequest,
    state::AppState,
};

/// The lines of a pull that had nothing to do.
const LINES: &str = "{\"status\":\"pulling manifest\"}\n{\"status\":\"success\"}\n";

pub(super) async fn handle(
    State(app): State<AppState>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    request: Request,
) -> Response {
    or_refuse(answer(&app, &active, request).await)
}

async fn answer(
    app: &AppState,
    active: &ActiveRequest,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = match received(active, &head.headers, body, &config).await {
        // Whatever it was to pull, it may not.
        Err(error) if error.kind == ErrorKind::InvalidJson => return Err(closed(PULL)),
        read => read?,
    };
    let name = model_of(&body).map_err(|_| closed(PULL))?;
    if let Err(error) = find(app, &name).await {
        return Err(match error.kind {
            ErrorKind::ModelNotFound => closed(PULL),
            _ => error,
        });
    }
    if body.get("stream") == Some(&Value::Bool(false)) {
        return Ok(reply::json(&json!({ "status": "success" })));
    }
    let mut answer = reply::typed("application/x-ndjson", LINES);
    unbuffered(answer.headers_mut());
    Ok(answer)
}
