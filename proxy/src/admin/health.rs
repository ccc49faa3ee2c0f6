//! `GET /healthz` and `GET /readyz`, for supervisors and load balancers.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde_json::json;

use crate::{reply, state::AppState};

/// Answers 200 as long as the process serves.
pub(super) async fn alive() -> Response {
    reply::json(&json!({ "status": "ok" }))
}

/// Answers as llama.cpp's server does: 503 in its own form while nothing can be answered.
pub(super) async fn llamacpp(State(app): State<AppState>) -> Response {
    let mut response = ready(State(app)).await;
    let body = if response.status() == StatusCode::OK {
        json!({ "status": "ok" })
    } else {
        let message = "no engine is ready; GET /readyz says why";
        json!({ "error": { "code": 503, "message": message, "type": "unavailable_error" } })
    };
    *response.body_mut() = body.to_string().into();
    response
}

/// Answers 200 once every engine was asked and at least one is up, and 503 before that, without any
/// engine, and while draining.
pub(super) async fn ready(State(app): State<AppState>) -> Response {
    let view = app.router.view();
    let reason = if app.draining.is_cancelled() {
        Some("draining")
    } else if !view.settled {
        Some("not every engine has answered or failed its first poll yet")
    } else if !view.any_up() {
        Some("no engine is up")
    } else {
        None
    };
    let mut response = reply::json(&json!({
        "status": if reason.is_none() { "ready" } else { "not_ready" },
        "reason": reason,
    }));
    if reason.is_some() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
