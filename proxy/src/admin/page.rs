//! `GET /`: a page for a browser, one line for curl.

use axum::{extract::State, response::Response};
use http::{HeaderMap, header};

use crate::{admin::endpoints, reply, state::AppState};

/// The page; it reads `/crucible/state` every two seconds and needs nothing from elsewhere.
const PAGE: &str = include_str!("page.html");

pub(super) async fn page(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let wants_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_html {
        return reply::typed("text/html; charset=utf-8", PAGE);
    }
    let view = app.router.view();
    let up = view.engines.iter().filter(|e| e.is_up()).count();
    reply::typed(
        "text/plain; charset=utf-8",
        format!(
            "Crucible {} is running; {up} of {} engines up; OpenAI API at /v1, metrics at /metrics; there are: {}\n",
            env!("CARGO_PKG_VERSION"),
            view.engines.len(),
            endpoints::all(),
        ),
    )
}
