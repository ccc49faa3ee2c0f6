//! The check of the head of an engine's answer, and the outcome of an attempt for the engine's
//! health.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use crucible_config::{checked::EngineKind, engine_profile::EngineWire};
use crucible_router::{health::RequestOutcome, permit::EngineAttempt};
use http::{StatusCode, header};
use http_body::Body;
use tokio::time::Instant;

use crate::{
    dialect::engine::{AnswerShape, engine_error::engine_error},
    error::{Error, ErrorFault, ErrorKind, UpstreamError},
    relay::{collect::beginning, headers},
    request::ActiveRequest,
    state::AppState,
};

/// The most bytes of an engine's error body that are read.
const ERROR_BODY: usize = 64 * 1024;

/// Reads an answer whose status is not 200 and returns it as an error. Its body is read up to 64
/// KiB and until `deadline`.
pub(super) async fn failure<B>(
    kind: EngineKind,
    response: http::Response<B>,
    deadline: Instant,
) -> Error
where
    B: Body<Data = Bytes> + Unpin,
{
    let status = response.status();
    let wait = headers::retry_after(response.headers(), SystemTime::now());
    let body = beginning(response.into_body(), ERROR_BODY, deadline).await;
    if status.is_success() {
        return Error::new(
            ErrorKind::EngineError,
            format!("the engine answered {status} without an answer"),
        )
        .upstream(UpstreamError::BadHttp);
    }
    let mut error = engine_error(kind, status, &body);
    if let Some(seconds) = wait {
        error = error.retry_after(seconds);
        // 503 says the same of an engine that will be there again at a time that it knows.
        if matches!(status.as_u16(), 429 | 503) {
            error.spared = true;
        }
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        error = error.upstream(UpstreamError::Http429);
    } else if status.is_server_error() && error.kind.fault() != ErrorFault::Client {
        error = error.upstream(UpstreamError::Http5xx);
    }
    error
}

/// Refuses an answer whose content type is HTML where a stream of Ollama's lines is awaited. The streams
/// of other engines are recognised by their first bytes later.
pub(super) fn refuse_web_page<B>(
    kind: EngineKind,
    response: &http::Response<B>,
) -> Result<(), Error> {
    let content_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let native = kind.profile().wire == EngineWire::OllamaNative;
    if !native || !content_type.starts_with("text/html") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::EngineError,
        "the engine answered with a page for a browser instead of a chat completion",
    )
    .upstream(UpstreamError::BadSse))
}

/// Returns the error of an engine that sent no headers in time; which timeout it names depends on
/// `shape`.
pub(super) fn no_headers(shape: &AnswerShape) -> Error {
    match shape {
        AnswerShape::Whole(_) | AnswerShape::Document(_) | AnswerShape::Passed(_) => Error::new(
            ErrorKind::ResponseTimeout,
            "the engine did not answer within timeouts.response; raise it, or ask for a stream",
        ),
        AnswerShape::Stream(_) | AnswerShape::Aggregate(_) => Error::new(
            ErrorKind::FirstTokenTimeout,
            "the engine did not answer within timeouts.first_token; raise it, or send a shorter prompt",
        ),
    }
}

/// Counts a request that failed before its answer began in the metrics, and has its engine looked at. What failed
/// inside the answer's body was counted and reported there.
pub(super) fn count_failure(
    app: &AppState,
    active: &ActiveRequest,
    engine: &Arc<str>,
    error: &Error,
) {
    if active.note(|record| record.error.is_some()) {
        return;
    }
    if let Some(failure) = error.upstream_failure() {
        app.metrics.upstream_error(engine, failure);
    }
    app.router.doubt(engine);
}

/// Reports the outcome of an attempt to the engine's health; only the first report of an attempt
/// counts.
pub(super) fn report(attempt: Option<&EngineAttempt>, outcome: RequestOutcome) {
    if let Some(attempt) = attempt {
        attempt.report(outcome);
    }
}

/// Returns the outcome of a failed attempt for the engine's health.
pub(super) fn attempt_outcome(error: &Error) -> RequestOutcome {
    if error.spared {
        return RequestOutcome::Busy(Duration::from_secs(error.retry_after.unwrap_or(1)));
    }
    match error.kind {
        // It answers, only not for a model that went.
        _ if error.not_loaded => RequestOutcome::Refused,
        ErrorKind::EngineUnreachable => RequestOutcome::ConnectFailed,
        // A connection that breaks before anything of a body came is none, headers or not.
        ErrorKind::EngineCut if error.upstream == Some(UpstreamError::Reset) => {
            RequestOutcome::ConnectFailed
        }
        // 503: it is there and cannot answer; its own queue, or a model that it still loads.
        ErrorKind::EngineError | ErrorKind::EngineCut | ErrorKind::NoEngine => {
            RequestOutcome::ServerFailed
        }
        ErrorKind::FirstTokenTimeout | ErrorKind::IdleTimeout => RequestOutcome::Silent,
        // A whole answer may be long: that it is not there yet says nothing.
        ErrorKind::Draining | ErrorKind::ResponseTimeout => RequestOutcome::Abandoned,
        _ => RequestOutcome::Refused,
    }
}
