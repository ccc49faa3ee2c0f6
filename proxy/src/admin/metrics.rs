//! `GET /metrics`, for Prometheus.

use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    error::{Error, ErrorKind},
    metrics::ExpositionFormat,
    reply::or_refuse,
    state::AppState,
};

/// Answers in the format that `Accept` asks for: `OpenMetrics` 1.0.0, or the text format of Prometheus,
/// 0.0.4. The gauges are read from the router's view and from the machine at this moment.
pub(super) async fn scrape(State(app): State<AppState>, headers: HeaderMap) -> Response {
    app.observe().await;
    or_refuse(encode(&app, ExpositionFormat::of_accept(&headers)))
}

fn encode(app: &AppState, format: ExpositionFormat) -> Result<Response, Error> {
    let text = app
        .metrics
        .encode(format)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("metrics: {e}")))?;
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(format.content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    // A cache between must not give one format to who asked for the other.
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
