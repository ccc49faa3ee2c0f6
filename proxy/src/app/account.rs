//! Accounting: the one place where a request's metrics and its log line are written, once, when
//! its last byte is out or its client has left.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tower::Service;

use super::{
    App,
    exchange::{Exchange, Listed, Phase, Record},
    request_id, sample,
};
use crate::{
    error::{Error, Fault, Kind},
    metrics::{AbortCause, DefaultParam, DroppedParam, Endpoint, Phase as LeftIn, RequestRecord},
};

/// nginx's number for a client that left before its answer began.
const CLIENT_CLOSED: u16 = 499;

/// The layer.
#[derive(Clone)]
pub(super) struct Layer(App);

/// [`Layer`] around the rest of the stack.
#[derive(Clone)]
pub(super) struct Accounting<S> {
    inner: S,
    app: App,
}

/// Closes the account when it is dropped.
struct Account {
    app: App,
    exchange: Arc<Exchange>,
    _listed: Listed,
}

/// A response body that carries the account.
struct Accounted {
    inner: Body,
    account: Account,
}

// === impl Layer ===

impl Layer {
    pub(super) fn new(app: App) -> Self {
        Self(app)
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Accounting<S>;

    fn layer(&self, inner: S) -> Accounting<S> {
        Accounting {
            inner,
            app: self.0.clone(),
        }
    }
}

// === impl Accounting ===

impl<S> Service<Request> for Accounting<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id: Arc<str> = request
            .headers()
            .get(&request_id::X_REQUEST_ID)
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default()
            .into();
        let exchange = Arc::new(Exchange::new(id, endpoint(request.uri().path())));
        let account = Account {
            app: self.app.clone(),
            _listed: self.app.in_flight.enter(&exchange),
            exchange: Arc::clone(&exchange),
        };
        request.extensions_mut().insert(exchange);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let status = response.status();
            let error = response.extensions_mut().remove::<Error>();
            account.exchange.note(|record| {
                record.status = Some(status);
                if let Some(error) = &error {
                    record.error = Some(error.kind);
                }
            });
            Ok(response.map(|inner| Body::new(Accounted { inner, account })))
        })
    }
}

/// The kind of endpoint of a canonical path.
fn endpoint(path: &str) -> Endpoint {
    match path {
        "/v1/chat/completions" => Endpoint::Chat,
        "/" | "/healthz" | "/readyz" | "/metrics" => Endpoint::Admin,
        _ if path == "/v1/models" || path.starts_with("/v1/models/") => Endpoint::Models,
        _ if path.starts_with("/crucible/") => Endpoint::Admin,
        _ => Endpoint::Other,
    }
}

// === impl Accounted ===

impl http_body::Body for Accounted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.inner.is_end_stream(),
            _ => false,
        };
        if ended {
            self.account.exchange.note(|record| record.ended = true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.inner.is_end_stream();
        if ended {
            self.account.exchange.note(|record| record.ended = true);
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Account ===

impl Drop for Account {
    fn drop(&mut self) {
        let now = Instant::now();
        let record = self.exchange.record();
        self.count(&record, now);
        let status = record.status.unwrap_or_else(client_closed).as_u16();
        self.app
            .events
            .request(&self.exchange, &record, status, now);
        self.log(&record, now);
        if let Some(sample) = sample::of(&record) {
            self.app.router.learn(&sample);
        }
    }
}

impl Account {
    fn count(&self, record: &Record, now: Instant) {
        let metrics = &self.app.metrics;
        let code = record.status.unwrap_or_else(client_closed);
        let duration = now - self.exchange.started;
        metrics.request(&RequestRecord {
            endpoint: self.exchange.endpoint,
            engine: record.engine.as_deref(),
            model: record.model.as_deref().unwrap_or_default(),
            stream: record.stream,
            code,
            duration,
            overhead: duration.saturating_sub(record.waited(now)),
            first_token: record.first_token_at.map(|at| at - self.exchange.started),
            predicted: record.predicted,
            output_time: record.output_time,
            content_events: u64::from(self.exchange.tokens()),
            usage: record.usage,
            stream_bytes: record.stream_bytes,
            stream_flushes: record.stream_flushes,
        });
        let engine = record.engine.as_deref();
        if let (Some(engine), Some(reason)) = (engine, record.reason) {
            metrics.routed(engine, reason);
        }
        if let Some(kind) = record.error
            && record.status.is_some_and(|s| s.as_u16() >= 400)
            && kind.fault() != Fault::Engine
        {
            metrics.rejected(engine, kind, code);
        }
        if client_left(record) {
            metrics.client_disconnected(match record.phase {
                Phase::Queue if self.loads(record) => LeftIn::Load,
                Phase::Reading | Phase::Queue => LeftIn::Queue,
                Phase::Prefill => LeftIn::Headers,
                Phase::Stream => LeftIn::Stream,
            });
        }
        let Some(engine) = engine else { return };
        if let Some(cause) = cause_of_abort(record) {
            metrics.stream_aborted(engine, cause);
        }
        for name in &record.defaults {
            if let Some(param) = DefaultParam::ALL.iter().find(|p| p.as_str() == *name) {
                metrics.default_injected(engine, *param);
            }
        }
        for name in &record.dropped {
            metrics.param_dropped(engine, DroppedParam::from_name(name));
        }
    }

    /// Its model is being loaded now.
    fn loads(&self, record: &Record) -> bool {
        let view = self.app.router.view();
        let loading = record
            .engine
            .as_deref()
            .and_then(|engine| view.engine(engine)?.loading.as_ref());
        loading.is_some_and(|loading| Some(&loading.model) == record.model.as_ref())
    }

    fn log(&self, record: &Record, now: Instant) {
        if self.exchange.endpoint == Endpoint::Admin {
            return;
        }
        let exchange = &self.exchange;
        let code = record.status.unwrap_or_else(client_closed).as_u16();
        let total = now - exchange.started;
        let queued = record
            .queued_at
            .map_or(Duration::ZERO, |at| record.granted_at.unwrap_or(now) - at);
        let first = record.first_token_at.map(|at| at - exchange.started);
        // An engine's own count, else events as they came.
        let counted = record.usage.map(|usage| usage.completion);
        let tokens = counted.unwrap_or_else(|| u64::from(exchange.tokens()));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    id = %exchange.id,
                    endpoint = exchange.endpoint.as_str(),
                    status = code,
                    engine = record.engine.as_deref(),
                    model = record.model.as_deref(),
                    reason = record.reason.map(crucible_router::plan::Reason::as_str),
                    error = record.error.map(crate::error::Kind::code),
                    queue_s = %Millis(queued),
                    first_token_s = first.map(|s| tracing::field::display(Millis(s))),
                    predicted_s = record.predicted.map(|s| tracing::field::display(Millis(s))),
                    total_s = %Millis(total),
                    tokens,
                    "request"
                )
            };
        }
        match record.error.map(Kind::level) {
            Some(tracing::Level::ERROR) => line!(error),
            Some(tracing::Level::WARN) => line!(warn),
            _ => line!(info),
        }
    }
}

/// The client went before the end that it was owed.
fn client_left(record: &Record) -> bool {
    !record.ended && (record.status.is_none() || record.stream) && record.error.is_none()
}

fn cause_of_abort(record: &Record) -> Option<AbortCause> {
    if !record.stream || record.status != Some(StatusCode::OK) {
        return None;
    }
    record
        .abort
        .or_else(|| record.error.map(abort_cause))
        .or_else(|| (!record.ended).then_some(AbortCause::ClientGone))
}

/// Seconds with three digits.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

fn client_closed() -> StatusCode {
    StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST)
}

const fn abort_cause(kind: Kind) -> AbortCause {
    match kind {
        Kind::FirstTokenTimeout => AbortCause::FirstTokenTimeout,
        Kind::IdleTimeout => AbortCause::IdleTimeout,
        Kind::ResponseTimeout => AbortCause::ResponseTimeout,
        Kind::LoadTimeout => AbortCause::LoadTimeout,
        Kind::EngineCut | Kind::EngineUnreachable => AbortCause::UpstreamCut,
        Kind::Draining => AbortCause::Shutdown,
        _ => AbortCause::UpstreamBadData,
    }
}
