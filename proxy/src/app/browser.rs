//! CORS for browsers only: what names no `Origin` passes by, headers and cost included.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Method, Request, Response, header};
use tower::Service;
use tower_http::cors::{self, CorsLayer};

/// The layer.
#[derive(Clone)]
pub(super) struct Browser(Arc<CorsLayer>);

/// [`Browser`] around the paths, which are always ready.
#[derive(Clone)]
pub(super) struct ForBrowsers<S> {
    inner: S,
    // Shared: the stack is cloned for each request, and a layer's clone copies its header values.
    cors: Arc<CorsLayer>,
}

// === impl Browser ===

impl Browser {
    pub(super) fn new(cors: CorsLayer) -> Self {
        Self(Arc::new(cors))
    }
}

impl<S> tower::Layer<S> for Browser {
    type Service = ForBrowsers<S>;

    fn layer(&self, inner: S) -> ForBrowsers<S> {
        ForBrowsers {
            inner,
            cors: Arc::clone(&self.0),
        }
    }
}

// === impl ForBrowsers ===

impl<S, B, R> Service<Request<B>> for ForBrowsers<S>
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
        if request.headers().contains_key(header::ORIGIN) || request.method() == Method::OPTIONS {
            let mut with_cors = tower::Layer::layer(&*self.cors, self.inner.clone());
            Either::Left(with_cors.call(request))
        } else {
            Either::Right(self.inner.call(request))
        }
    }
}
