//! `GET /metrics`.

use axum::{extract::State, response::Response};
use http::{HeaderValue, header};

use crate::app::App;

/// The text format of Prometheus, 0.0.4; gauges are read from the view at this moment.
pub(super) async fn scrape(State(app): State<App>) -> Response {
    app.observe();
    let (content_type, text) = app.metrics.encode();
    let mut response = Response::new(text.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
