//! The one place where an error becomes the body of an answer, in the format of the client that asked.
//!
//! Layers and handlers refuse with [`crate::reply::refuse`], which sets status and headers, leaves the
//! body empty and lets the error ride in the answer's extensions.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use http::header;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::{
    dialect::{self, ClientDialect},
    error::Error,
    request::ActiveRequest,
};

/// Writes the errors of the services inside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorReplyLayer;

/// The service of [`ErrorReplyLayer`].
#[derive(Clone, Debug)]
pub(super) struct ErrorReplyService<S>(S);

pin_project! {
    /// An answer that may turn out to be an error.
    pub(super) struct ErrorReplyFuture<F> {
        #[pin]
        answer: F,
        dialect: &'static dyn ClientDialect,
    }
}

// === impl ErrorReplyLayer ===

impl<S> Layer<S> for ErrorReplyLayer {
    type Service = ErrorReplyService<S>;

    fn layer(&self, inner: S) -> ErrorReplyService<S> {
        ErrorReplyService(inner)
    }
}

// === impl ErrorReplyService ===

impl<S> Service<Request> for ErrorReplyService<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ErrorReplyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let active = request.extensions().get::<Arc<ActiveRequest>>();
        ErrorReplyFuture {
            dialect: active.map_or_else(dialect::unasked, |active| active.dialect),
            answer: self.0.call(request),
        }
    }
}

// === impl ErrorReplyFuture ===

impl<F, E> Future for ErrorReplyFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = std::task::ready!(this.answer.poll(cx))?;
        if let Some(error) = response.extensions().get::<Error>() {
            *response.body_mut() = Body::from(this.dialect.error(error));
            // The routes have written the length of the empty body.
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        Poll::Ready(Ok(response))
    }
}
