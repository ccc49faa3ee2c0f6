//! CORS for browsers only: a request that names no `Origin` passes by without the headers and their
//! cost.
//!
//! A preflight is answered after Host and Origin were judged. Every other answer gets its headers
//! outside of the guard, so that a page of an allowed origin can read why it was refused.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use crucible_config::LiveConfig;
use futures_util::future::Either;
use http::{HeaderMap, Method, Request, Response, header};
use tower::Service;
use tower_http::cors::{self, CorsLayer};

use crate::guard;

/// The requests that a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CorsPart {
    /// The preflights, which are `OPTIONS` requests.
    Preflights,
    /// All other requests that name an allowed origin.
    Answers,
}

/// Adds CORS headers to the answers that a browser may read.
#[derive(Clone)]
pub(super) struct BrowserCorsLayer {
    parts: Arc<CorsParts>,
    part: CorsPart,
}

/// The parts that a judgement over an origin and the headers for it need.
struct CorsParts {
    config: LiveConfig,
    headers: CorsLayer,
}

/// The service of [`BrowserCorsLayer`].
#[derive(Clone)]
pub(super) struct BrowserCorsService<S> {
    inner: S,
    // Shared: the stack is cloned for each request, and a layer's clone copies its header values.
    parts: Arc<CorsParts>,
    part: CorsPart,
}

// === impl BrowserCorsLayer ===

impl BrowserCorsLayer {
    /// The layer for the preflights and the one for the answers, which stand at two places of the stack.
    pub(super) fn pair(config: LiveConfig, headers: CorsLayer) -> (Self, Self) {
        let parts = Arc::new(CorsParts { config, headers });
        let of = |part| Self {
            parts: Arc::clone(&parts),
            part,
        };
        (of(CorsPart::Preflights), of(CorsPart::Answers))
    }
}

impl<S> tower::Layer<S> for BrowserCorsLayer {
    type Service = BrowserCorsService<S>;

    fn layer(&self, inner: S) -> BrowserCorsService<S> {
        BrowserCorsService {
            inner,
            parts: Arc::clone(&self.parts),
            part: self.part,
        }
    }
}

// === impl BrowserCorsService ===

impl<S> BrowserCorsService<S> {
    /// Whether the headers name an origin that may read answers.
    fn allowed(&self, headers: &HeaderMap) -> bool {
        headers
            .get(header::ORIGIN)
            .and_then(|origin| origin.to_str().ok())
            .is_some_and(|origin| {
                let config = self.parts.config.current();
                guard::origin_allowed(origin, &config.allowed_origins)
            })
    }
}

impl<S, B, R> Service<Request<B>> for BrowserCorsService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<cors::ResponseFuture<S::Future>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let preflight = request.method() == Method::OPTIONS;
        let mine = match self.part {
            CorsPart::Preflights => preflight,
            CorsPart::Answers => !preflight && self.allowed(request.headers()),
        };
        if mine {
            // The clone was not asked whether it is ready; the one that was goes with this request.
            let clone = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, clone);
            let mut with_cors = tower::Layer::layer(&self.parts.headers, ready);
            Either::Left(with_cors.call(request))
        } else {
            Either::Right(self.inner.call(request))
        }
    }
}
