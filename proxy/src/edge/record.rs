//! The record of a request: opened here with the client's format, and put into the ledger when the last
//! byte of the answer is out or the client has left.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use crucible_config::management::passed_paths;
use crucible_router::handle::RouterHandle;
use http::{HeaderValue, Method, header};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::request_id;
use crate::{
    dialect::{self, ClientDialect},
    endpoint::Endpoint,
    error::{AbortCause, Error},
    ledger::{EndedRequest, Ledger},
    request::{ActiveRequest, ActiveRequestEntry, ActiveRequests, RequestPhase},
    server::ClientPeer,
    telemetry::trace_context::TraceContext,
};

/// Opens a record for each request.
#[derive(Clone)]
pub(super) struct RecordLayer(Arc<RecordParts>);

/// The parts that opening and closing records needs.
struct RecordParts {
    active: Arc<ActiveRequests>,
    ledger: Arc<Ledger>,
    router: RouterHandle,
    /// Whether spans of requests are exported.
    exports_spans: bool,
}

/// The service of [`RecordLayer`].
#[derive(Clone)]
pub(super) struct RecordService<S> {
    inner: S,
    parts: Arc<RecordParts>,
}

pin_project! {
    /// An answer that is being made.
    pub(super) struct RecordFuture<F> {
        #[pin]
        answer: F,
        open: Option<OpenRecord>,
    }
}

/// A record that goes to the ledger when it is dropped.
struct OpenRecord {
    parts: Arc<RecordParts>,
    request: Arc<ActiveRequest>,
    peer: Option<ClientPeer>,
    _listed: ActiveRequestEntry,
}

/// A response body that carries the record of its request.
struct RecordBody {
    inner: Body,
    open: OpenRecord,
}

// === impl RecordLayer ===

impl RecordLayer {
    /// Lists requests in `active` while they are answered, and puts them into `ledger` afterwards.
    pub(super) fn new(
        active: Arc<ActiveRequests>,
        ledger: Arc<Ledger>,
        router: RouterHandle,
    ) -> Self {
        Self(Arc::new(RecordParts {
            active,
            exports_spans: ledger.exports_spans(),
            ledger,
            router,
        }))
    }
}

impl<S> tower::Layer<S> for RecordLayer {
    type Service = RecordService<S>;

    fn layer(&self, inner: S) -> RecordService<S> {
        RecordService {
            inner,
            parts: Arc::clone(&self.0),
        }
    }
}

// === impl RecordService ===

impl<S> Service<Request> for RecordService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RecordFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = request_id::of(request.headers());
        let path = request.uri().path();
        let dialect = dialect::of_request(path, request.headers());
        let endpoint = dialect.map_or_else(|| endpoint(path), ClientDialect::endpoint);
        // A browser's question before its request is no request of a client.
        let endpoint = if is_preflight(&request) {
            Endpoint::Admin
        } else {
            endpoint
        };
        if endpoint == Endpoint::Admin {
            // Who looks sees everything that ended before.
            self.parts.ledger.settle();
        }
        let dialect = dialect.unwrap_or_else(|| dialect::of_unknown(path, request.headers()));
        let mut active = ActiveRequest::new(id, endpoint, dialect);
        active.trace = TraceContext::of(request.headers(), self.parts.exports_spans).map(Box::new);
        let active = Arc::new(active);
        let open = OpenRecord {
            _listed: self.parts.active.enter(&active),
            parts: Arc::clone(&self.parts),
            request: Arc::clone(&active),
            peer: request.extensions().get::<ClientPeer>().cloned(),
        };
        request.extensions_mut().insert(active);
        let answer = open.request.span.in_scope(|| self.inner.call(request));
        RecordFuture {
            answer,
            open: Some(open),
        }
    }
}

// === impl RecordFuture ===

impl<F: Future<Output = Result<Response, Infallible>>> Future for RecordFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let span = this.open.as_ref().map(|open| &open.request.span);
        let polled = match span {
            Some(span) => span.in_scope(|| this.answer.poll(cx)),
            None => this.answer.poll(cx),
        };
        let mut response = std::task::ready!(polled)?;
        let status = response.status();
        let error = response.extensions_mut().remove::<Error>();
        Poll::Ready(Ok(match this.open.take() {
            Some(open) => {
                request_id::add(response.headers_mut(), &open.request.id);
                if let Some(name) = open.request.dialect.request_id_header()
                    && let Ok(id) = HeaderValue::from_str(&open.request.id)
                {
                    response.headers_mut().insert(name, id);
                }
                open.request.note(|record| {
                    record.status = Some(status);
                    if let Some(error) = &error {
                        record.error = Some(error.kind);
                    }
                });
                response.map(|inner| Body::new(RecordBody { inner, open }))
            }
            None => response,
        }))
    }
}

/// Puts a request that could not be read into the ledger as one that was refused; gives its id.
pub(super) fn refused(ledger: &Ledger, error: &Error) -> String {
    let id = request_id::new();
    let request = Arc::new(ActiveRequest::new(
        id.as_str().into(),
        Endpoint::Other,
        dialect::unasked(),
    ));
    request.note(|record| {
        record.status = Some(error.status());
        record.error = Some(error.kind);
        record.ended = true;
    });
    ledger.put(EndedRequest {
        request,
        at: Instant::now(),
        in_load: false,
    });
    id
}

/// Whether a browser asks for leave to send a request.
fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The endpoint of a canonical path that no client format has.
fn endpoint(path: &str) -> Endpoint {
    match path {
        "/" | "/health" | "/healthz" | "/readyz" | "/metrics" => Endpoint::Admin,
        _ if is_models(path) => Endpoint::Models,
        _ if path.starts_with("/crucible/") => Endpoint::Admin,
        _ if passed_paths().any(|(_, passed)| passed.path == path) => Endpoint::Native,
        _ => Endpoint::Other,
    }
}

/// Whether a canonical path lists models, or one of them, in OpenAI's or LM Studio's form.
fn is_models(path: &str) -> bool {
    ["/v1/models", "/api/v0/models", "/api/v1/models"]
        .iter()
        .filter_map(|list| path.strip_prefix(list))
        .any(|rest| rest.is_empty() || rest.starts_with('/'))
}

// === impl RecordBody ===

impl http_body::Body for RecordBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Some(inspected) = self.open.request.inspected.get()
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            inspected.answered(piece);
        }
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.inner.is_end_stream(),
            _ => false,
        };
        if ended {
            self.open.request.note(|record| record.ended = true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.inner.is_end_stream();
        if ended {
            self.open.request.note(|record| record.ended = true);
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl OpenRecord ===

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if self.peer.as_ref().is_some_and(ClientPeer::is_slow) {
            self.request.note(|record| {
                if !record.ended {
                    record.abort = Some(AbortCause::ClientSlow);
                }
            });
        }
        let in_load = self
            .request
            .note(|record| record.phase == RequestPhase::Queue && !record.ended)
            && self.loads();
        self.parts.ledger.put(EndedRequest {
            request: Arc::clone(&self.request),
            at: Instant::now(),
            in_load,
        });
    }
}

impl OpenRecord {
    /// Whether the model of the request is being loaded now.
    fn loads(&self) -> bool {
        let asked = self
            .request
            .note(|record| Some((record.engine.clone()?, record.model.clone()?)));
        let view = self.parts.router.view();
        asked.is_some_and(|(engine, model)| {
            let loading = view
                .engine(&engine)
                .and_then(|engine| engine.loading.as_ref());
            loading.is_some_and(|loading| loading.model == model)
        })
    }
}
