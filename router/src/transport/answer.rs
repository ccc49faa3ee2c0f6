//! The body of an engine's answer, which drives the connection that it comes on.

use std::{
    error::Error as StdError,
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{IdleConnection, connection::Connection};

/// The body of an answer on its way. Dropped before its end, it closes the connection: engines take
/// that for a cancellation.
///
/// `B` is the body of the request that is answered.
pub struct AnswerBody<B: Body + 'static> {
    body: Incoming,
    /// The connection, until the answer is whole.
    connection: Option<Box<Connection<B>>>,
    /// The connection after that, where the engine keeps it.
    idle: Option<IdleConnection<B>>,
}

// === impl AnswerBody ===

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Wraps the body of an answer with the connection that it comes over.
    pub(super) fn new(body: Incoming, connection: Box<Connection<B>>) -> Self {
        let mut answer = Self {
            body,
            connection: Some(connection),
            idle: None,
        };
        answer.release_if_whole();
        answer
    }

    /// The connection for a further request: there is one once the answer is whole, if the engine read
    /// the request to its end and keeps the connection.
    pub fn take_idle(&mut self) -> Option<IdleConnection<B>> {
        self.idle.take()
    }

    fn release_if_whole(&mut self) {
        if self.body.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        let connection = self.connection.take();
        self.idle = connection.and_then(IdleConnection::of);
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let Some(connection) = &mut this.connection else {
            return Poll::Ready(None);
        };
        let frame = connection.poll_frame(&mut this.body, cx);
        match &frame {
            Poll::Ready(None) => this.release(),
            Poll::Ready(Some(Ok(_))) => this.release_if_whole(),
            Poll::Ready(Some(Err(_))) => this.connection = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
