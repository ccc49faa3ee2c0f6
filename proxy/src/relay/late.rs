//! The late commit of a stream: nothing is sent before the answer begins or `timeouts.commit` is
//! over, so that an early failure gets a status of its own. After that, heartbeats keep the
//! connection alive.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::{dialect::ClientDialect, error::Error};

/// The time between two heartbeats to a waiting client.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// An answer that is not there yet.
pub(crate) type Pending = BoxFuture<'static, Result<Response, Error>>;

/// A body that sends heartbeats until the answer is there, and the answer's own body from then on.
struct LateBody {
    state: State,
    dialect: &'static dyn ClientDialect,
    beat: Pin<Box<Sleep>>,
    /// The callback for an error that can only be sent inside the stream now.
    failed: Box<dyn Fn(&Error) + Send>,
}

enum State {
    Waiting(Pending),
    Streaming(Body),
    Ended,
}

/// Waits for the answer until `after`. Where it is not there, returns `head` with a body that goes
/// on waiting; an error then reaches the client inside the stream, and `failed` is called with it.
/// Dropping the body cancels the answer.
pub(crate) async fn commit(
    mut pending: Pending,
    after: Duration,
    dialect: &'static dyn ClientDialect,
    head: impl FnOnce() -> Response,
    failed: impl Fn(&Error) + Send + 'static,
) -> Result<Response, Error> {
    if let Ok(answer) = timeout(after, &mut pending).await {
        return answer;
    }
    let body = LateBody {
        state: State::Waiting(pending),
        dialect,
        // The first one at once: it is what commits.
        beat: Box::pin(sleep(Duration::ZERO)),
        failed: Box::new(failed),
    };
    Ok(head().map(|_| Body::new(body)))
}

impl http_body::Body for LateBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Waiting(pending) => match pending.as_mut().poll(cx) {
                    Poll::Ready(Ok(answer)) => {
                        this.state = State::Streaming(answer.into_body());
                    }
                    Poll::Ready(Err(error)) => {
                        (this.failed)(&error);
                        this.state = State::Ended;
                        return Poll::Ready(Some(Ok(Frame::data(this.dialect.in_band(&error)))));
                    }
                    Poll::Pending => {
                        std::task::ready!(this.beat.as_mut().poll(cx));
                        this.beat.as_mut().reset(Instant::now() + EVERY);
                        if let Some(heartbeat) = this.dialect.heartbeat() {
                            return Poll::Ready(Some(Ok(Frame::data(heartbeat))));
                        }
                    }
                },
                State::Streaming(body) => return Pin::new(body).poll_frame(cx),
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Waiting(_) => false,
            State::Streaming(body) => body.is_end_stream(),
            State::Ended => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{dialect, error::ErrorKind, testing::secs};

    #[tokio::test(start_paused = true)]
    async fn an_early_failure_keeps_its_status() {
        let pending: Pending = Box::pin(async {
            sleep(secs(19)).await;
            Err(Error::new(ErrorKind::QueueFull, "full"))
        });
        let answer = commit(
            pending,
            secs(20),
            dialect::unasked(),
            Response::default,
            |_| {},
        )
        .await;
        assert_eq!(answer.unwrap_err().kind, ErrorKind::QueueFull);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_commit_come_heartbeats_then_the_answer() {
        let pending: Pending = Box::pin(async {
            sleep(secs(45)).await;
            Ok(Response::new(Body::from("data: x\n\n")))
        });
        let answer = commit(
            pending,
            secs(20),
            dialect::unasked(),
            Response::default,
            |_| {},
        )
        .await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        let text = body.to_bytes();
        assert_eq!(
            text,
            ": crucible\n\n: crucible\n\n: crucible\n\ndata: x\n\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_is_one_event_without_done() {
        let pending: Pending = Box::pin(async {
            sleep(secs(25)).await;
            Err(Error::new(ErrorKind::LoadTimeout, "slow"))
        });
        let (tell, told) = std::sync::mpsc::channel();
        let answer = commit(
            pending,
            secs(20),
            dialect::unasked(),
            Response::default,
            move |error| {
                tell.send(error.kind).unwrap();
            },
        )
        .await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        assert!(
            text.contains("\"code\":\"load_timeout\"") && text.ends_with("}\n\n"),
            "{text}"
        );
        assert!(!text.contains("[DONE]"));
        assert_eq!(told.recv().unwrap(), ErrorKind::LoadTimeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_cancels_what_is_pending() {
        let (alive, gone) = oneshot::channel::<()>();
        let pending: Pending = Box::pin(async move {
            let _alive = alive;
            std::future::pending().await
        });
        let answer = commit(
            pending,
            secs(20),
            dialect::unasked(),
            Response::default,
            |_| {},
        )
        .await;
        drop(answer);
        assert!(gone.await.is_err());
    }
}
