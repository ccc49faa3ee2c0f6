//! The layer that keeps a panic to one request: it becomes a 500 that the layers outside see.
//!
//! tower-http's layer does the same and boxes every body for it, which each chunk of a stream would
//! pay for.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use futures_util::{
    FutureExt as _,
    future::{CatchUnwind, Either, Map, Ready, ready},
};
use tower::{Layer, Service};

use crate::{
    error::{Error, ErrorKind},
    reply,
};

/// Turns the panics of the services inside it into errors.
#[derive(Clone, Copy)]
pub(super) struct CatchPanicLayer;

/// The service of [`CatchPanicLayer`].
#[derive(Clone)]
pub(super) struct CatchPanicService<S>(S);

type Answer = Result<Response, Infallible>;
type Polled<F> = Map<CatchUnwind<AssertUnwindSafe<F>>, fn(std::thread::Result<Answer>) -> Answer>;

/// The answer for a panic in a handler, without its text, which only the log has.
fn answer_of(answer: std::thread::Result<Answer>) -> Answer {
    answer.unwrap_or_else(|_: Box<dyn Any + Send>| {
        Ok(reply::refuse(Error::new(
            ErrorKind::Internal,
            "an internal error; the log has the request id",
        )))
    })
}

// === impl CatchPanicLayer ===

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanicService<S>;

    fn layer(&self, inner: S) -> CatchPanicService<S> {
        CatchPanicService(inner)
    }
}

// === impl CatchPanicService ===

impl<S> Service<Request> for CatchPanicService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Polled<S::Future>, Ready<Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match catch_unwind(AssertUnwindSafe(|| self.0.call(request))) {
            Ok(answer) => {
                let caught = AssertUnwindSafe(answer).catch_unwind();
                Either::Left(caught.map(answer_of as fn(_) -> _))
            }
            Err(panic) => Either::Right(ready(answer_of(Err(panic)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::StatusCode;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn panics_at_the_call_and_while_polled_are_500() {
        let at_once = service_fn(|_: Request| -> Ready<Answer> { panic!("at once") });
        let later = service_fn(async |_: Request| -> Answer { panic!("later") });
        let well = service_fn(async |_: Request| Answer::Ok(Response::default()));
        let request = || Request::new(Body::empty());
        let Ok(answer) = CatchPanicLayer.layer(at_once).oneshot(request()).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let Ok(answer) = CatchPanicLayer.layer(later).oneshot(request()).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let Ok(answer) = CatchPanicLayer.layer(well).oneshot(request()).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
