//! `GET /metrics`, for Prometheus.

use axum::{extract::State, response::Response};
use http::{HeaderValue, header};

use crate::{
    error::{Error, ErrorKind},
    reply::or_refuse,
    state::AppState,
};

/// Answers in the text format of Prometheus, 0.0.4. The gauges are read from the router's view at
/// this moment.
pub(super) async fn scrape(State(app): State<AppState>) -> Response {
    app.observe().await;
    or_refuse(encode(&app))
}

fn encode(app: &AppState) -> Result<Response, Error> {
    let failed = |what: String| Error::new(ErrorKind::Internal, format!("metrics: {what}"));
    let (content_type, text) = app.metrics.encode().map_err(|e| failed(e.to_string()))?;
    let content_type = HeaderValue::try_from(content_type).map_err(|e| failed(e.to_string()))?;
    let mut response = Response::new(text.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
