//! CORS for browsers only: what names no `Origin` passes by, headers and cost included.
//!
//! A preflight is answered after Host and Origin were judged. Every other answer gets its headers
//! outside of the judge, so that a page of an allowed origin can read why it was refused.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{HeaderMap, Method, Request, Response, header};
use tower::Service;
use tower_http::cors::{self, CorsLayer};

use crate::{guard, state::AppState};

/// Which requests a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `OPTIONS`.
    Preflights,
    /// All others that name an allowed origin.
    Answers,
}

/// The layer.
#[derive(Clone)]
pub(super) struct Browser {
    app: AppState,
    cors: Arc<CorsLayer>,
    part: Part,
}

/// [`Browser`] around the paths, which are always ready.
#[derive(Clone)]
pub(super) struct ForBrowsers<S> {
    inner: S,
    app: AppState,
    // Shared: the stack is cloned for each request, and a layer's clone copies its header values.
    cors: Arc<CorsLayer>,
    part: Part,
}

// === impl Browser ===

impl Browser {
    pub(super) fn new(app: AppState, cors: Arc<CorsLayer>, part: Part) -> Self {
        Self { app, cors, part }
    }
}

impl<S> tower::Layer<S> for Browser {
    type Service = ForBrowsers<S>;

    fn layer(&self, inner: S) -> ForBrowsers<S> {
        ForBrowsers {
            inner,
            app: self.app.clone(),
            cors: Arc::clone(&self.cors),
            part: self.part,
        }
    }
}

// === impl ForBrowsers ===

impl<S> ForBrowsers<S> {
    /// It names an origin that may read answers.
    fn allowed(&self, headers: &HeaderMap) -> bool {
        headers
            .get(header::ORIGIN)
            .and_then(|origin| origin.to_str().ok())
            .is_some_and(|origin| {
                let config = self.app.config.current();
                guard::origin_allowed(origin, &config.allowed_origins)
            })
    }
}

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
        let preflight = request.method() == Method::OPTIONS;
        let mine = match self.part {
            Part::Preflights => preflight,
            Part::Answers => !preflight && self.allowed(request.headers()),
        };
        if mine {
            let mut with_cors = tower::Layer::layer(&*self.cors, self.inner.clone());
            Either::Left(with_cors.call(request))
        } else {
            Either::Right(self.inner.call(request))
        }
    }
}
