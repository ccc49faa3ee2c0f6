//! Accounting: every request has an account, which goes to the books when its last byte is out or
//! its client has left.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

use crate::{
    edge::request_id,
    endpoint::Endpoint,
    error::{AbortCause, Error},
    ledger::EndedRequest,
    request::{Exchange, Listed, Phase},
    server::Peer,
    state::AppState,
};

/// The layer.
#[derive(Clone)]
pub(super) struct Layer(AppState);

/// [`Layer`] around the rest of the stack.
#[derive(Clone)]
pub(super) struct Accounting<S> {
    inner: S,
    app: AppState,
}

pin_project! {
    /// An answer that is being made.
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        account: Option<Account>,
    }
}

/// Goes to the books when it is dropped.
struct Account {
    app: AppState,
    exchange: Arc<Exchange>,
    peer: Option<Peer>,
    _listed: Listed,
}

/// A response body that carries the account.
struct Accounted {
    inner: Body,
    account: Account,
}

// === impl Layer ===

impl Layer {
    pub(super) fn new(app: AppState) -> Self {
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
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

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
        let endpoint = endpoint(request.uri().path());
        if endpoint == Endpoint::Admin {
            // Who looks sees everything that ended before.
            self.app.ledger.settle();
        }
        let exchange = Arc::new(Exchange::new(id, endpoint));
        let account = Account {
            app: self.app.clone(),
            _listed: self.app.in_flight.enter(&exchange),
            exchange: Arc::clone(&exchange),
            peer: request.extensions().get::<Peer>().cloned(),
        };
        request.extensions_mut().insert(exchange);
        Answering {
            answer: self.inner.call(request),
            account: Some(account),
        }
    }
}

// === impl Answering ===

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = std::task::ready!(this.answer.poll(cx))?;
        let status = response.status();
        let error = response.extensions_mut().remove::<Error>();
        Poll::Ready(Ok(match this.account.take() {
            Some(account) => {
                account.exchange.note(|record| {
                    record.status = Some(status);
                    if let Some(error) = &error {
                        record.error = Some(error.kind);
                    }
                });
                response.map(|inner| Body::new(Accounted { inner, account }))
            }
            None => response,
        }))
    }
}

/// Puts what is no request on the books, as one that was refused; gives its id.
pub(super) fn of_refusal(app: &AppState, error: &Error) -> String {
    let id = request_id::new();
    let exchange = Arc::new(Exchange::new(id.as_str().into(), Endpoint::Other));
    exchange.note(|record| {
        record.status = Some(error.status());
        record.error = Some(error.kind);
        record.ended = true;
    });
    app.ledger.put(EndedRequest {
        exchange,
        at: Instant::now(),
        in_load: false,
    });
    id
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
        if self.peer.as_ref().is_some_and(Peer::is_slow) {
            self.exchange.note(|record| {
                if !record.ended {
                    record.abort = Some(AbortCause::ClientSlow);
                }
            });
        }
        let in_load = self
            .exchange
            .note(|record| record.phase == Phase::Queue && !record.ended)
            && self.loads();
        self.app.ledger.put(EndedRequest {
            exchange: Arc::clone(&self.exchange),
            at: Instant::now(),
            in_load,
        });
    }
}

impl Account {
    /// Its model is being loaded now.
    fn loads(&self) -> bool {
        let asked = self
            .exchange
            .note(|record| Some((record.engine.clone()?, record.model.clone()?)));
        let view = self.app.router.view();
        asked.is_some_and(|(engine, model)| {
            let loading = view
                .engine(&engine)
                .and_then(|engine| engine.loading.as_ref());
            loading.is_some_and(|loading| loading.model == model)
        })
    }
}
