//! The guard as a layer: Host, Origin, closed paths, key and rate, before a byte of a body is read.

use std::task::{Context, Poll};

use axum::{extract::Request, response::Response};
use crucible_router::refusal::Refusal;
use futures_util::future::{Either, Ready, ready};
use tower::Service;

use crate::{
    error::{Error, Kind},
    guard::{
        self, Facts, Verdict,
        paths::{Access, Opened},
    },
    reply,
    server::{Beyond, Peer},
    state::AppState,
};

/// The layer.
#[derive(Clone)]
pub(super) struct Gate(AppState);

/// [`Gate`] before the rest of the stack.
#[derive(Clone)]
pub(super) struct Gated<S> {
    inner: S,
    app: AppState,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(app: AppState) -> Self {
        Self(app)
    }
}

impl<S> tower::Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            app: self.0.clone(),
        }
    }
}

// === impl Gated ===

impl<S: Service<Request, Response = Response>> Service<Request> for Gated<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match judge(&self.app, &request) {
            Ok((verdict, opened)) => {
                request.extensions_mut().insert(verdict);
                if let Some(opened) = opened {
                    request.extensions_mut().insert(opened);
                }
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok(reply::refuse(error)))),
        }
    }
}

/// What is answered on connections beyond the bound too.
fn watches(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// Host, Origin and key; closed management paths; then the key's rate. Also tells the path that
/// manages an engine and is opened.
fn judge(app: &AppState, request: &Request) -> Result<(Verdict, Option<Opened>), Error> {
    let config = app.config.current();
    let path = request.uri().path();
    let facts = Facts {
        method: request.method(),
        version: request.version(),
        uri: request.uri(),
        headers: request.headers(),
        peer: request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.address().ip()),
    };
    if request.extensions().get::<Beyond>().is_some() && !watches(path) {
        return Err(Error::new(
            Kind::TooManyConnections,
            "all places of limits.connections are busy; try again, or raise it",
        )
        .retry_after(1));
    }
    let verdict = guard::judge(&config, &app.own_name, facts)?;
    if !watches(path) {
        guard::hops::of(request.headers())?;
    }
    if app.draining.is_cancelled() && path.starts_with("/v1/") {
        return Err(Refusal::Draining.into());
    }
    let method = request.method().as_str();
    let opened = match guard::paths::access(method, path, &config.guard_open) {
        Access::Free => None,
        Access::Opened(opened) => Some(opened),
        Access::Closed(path) => {
            return Err(Error::new(
                Kind::EndpointClosed,
                format!(
                    "{path} manages an engine and is closed; call the engine itself, or set \
                     guard.open = [\"{path}\"]"
                ),
            ));
        }
    };
    if let Some(key) = &verdict.key
        && let Err(wait) = app.router.limits().check(key)
    {
        let seconds = wait.as_secs() + 1;
        let message = format!(
            "key '{}' is over its `rate`; come back in {seconds} s",
            key.name
        );
        return Err(Error::new(Kind::RateLimited, message).retry_after(seconds));
    }
    Ok((verdict, opened))
}
