//! One exchange of a request and its answer on a connection to an engine.
//!
//! hyper's client knows the protocol. Its connection is no task of its own: whoever waits for the
//! answer, or reads its body, moves it in the same poll, so that an event of an answer wakes one task
//! and not two. Between two exchanges only the transport is kept, without hyper's buffers.

use std::{
    error::Error as StdError,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{Transport, wire::Wire};

/// The most that is read from an engine at once, and so the longest piece of an answer: what a
/// client that reads slowly costs in memory. The head of an answer must fit as well.
const READ: usize = 16 * 1024;

/// A connection to an engine while one request and its answer go over it.
pub(super) struct Connection<B: Body + 'static> {
    http: http1::Connection<TokioIo<Wire>, B>,
    requests: SendRequest<B>,
    /// hyper will do nothing more on it.
    over: bool,
}

/// A connection that broke before the head of an answer was whole.
#[derive(Debug)]
pub struct Broken {
    /// Whether nothing of an answer had come.
    pub silent: bool,
    /// The time from the last write of the request to the break.
    pub after: Duration,
    /// The error: `InvalidData` for an answer that is not HTTP/1.1, `UnexpectedEof` where the
    /// engine closed the connection.
    pub error: io::Error,
}

/// The same error with the kind that tells what happened.
fn io_error(error: hyper::Error) -> io::Error {
    if error.is_parse() {
        return io::Error::new(io::ErrorKind::InvalidData, error);
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return io::Error::new(io::ErrorKind::UnexpectedEof, error);
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io::Error::new(io.kind(), error);
        }
        source = cause.source();
    }
    io::Error::other(error)
}

// === impl Connection ===

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Sends a request, whose headers give the body's length, and waits for the answer's head.
    pub(super) async fn exchange(
        transport: Transport,
        request: Request<B>,
    ) -> Result<(Response<Incoming>, Box<Self>), Broken> {
        let handshake = http1::Builder::new()
            .max_buf_size(READ)
            .handshake(TokioIo::new(Wire::new(transport)));
        // It is ready at once: HTTP/1.1 begins with a request.
        let (requests, http) = handshake.await.map_err(|error| Broken {
            silent: false,
            after: Duration::ZERO,
            error: io_error(error),
        })?;
        let mut this = Box::new(Self {
            http,
            requests,
            over: false,
        });
        match this.head(request).await {
            Ok(response) => Ok((response, this)),
            Err(error) => {
                let wire = this.http.into_parts().io.into_inner();
                let error = match error.kind() {
                    // It spoke first, or said more than an answer.
                    io::ErrorKind::UnexpectedEof if wire.heard() && !wire.is_written() => {
                        io::Error::new(io::ErrorKind::InvalidData, error)
                    }
                    _ => error,
                };
                Err(Broken {
                    silent: !wire.heard(),
                    after: wire.written().elapsed(),
                    error,
                })
            }
        }
    }

    fn head(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = io::Result<Response<Incoming>>> + Send {
        let Self {
            http,
            requests,
            over,
        } = self;
        let answer = requests.send_request(request);
        async move {
            let mut answer = pin!(answer);
            poll_fn(|cx| {
                let moved = http.poll_without_shutdown(cx);
                *over = moved.is_ready();
                match (answer.as_mut().poll(cx), moved) {
                    (Poll::Ready(answer), _) => Poll::Ready(answer.map_err(io_error)),
                    (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(io_error(error))),
                    // The engine closed before hyper took the request up.
                    (Poll::Pending, Poll::Ready(Ok(()))) => {
                        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
                    }
                    (Poll::Pending, Poll::Pending) => Poll::Pending,
                }
            })
            .await
        }
    }

    /// The next frame of an answer's body; `None` at its end.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut frame = Pin::new(&mut *body).poll_frame(cx);
        if frame.is_pending() && !self.over {
            // An error of the connection shows in the body.
            self.over = self.http.poll_without_shutdown(cx).is_ready();
            frame = Pin::new(body).poll_frame(cx);
        }
        match frame {
            Poll::Pending if self.over => {
                Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
            }
            frame => frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other))),
        }
    }

    /// The transport for a further request: the answer is whole, the request was read, and the engine
    /// keeps the connection.
    pub(super) fn into_idle(self: Box<Self>) -> Option<Transport> {
        if self.over || !self.requests.is_ready() {
            return None;
        }
        let parts = self.http.into_parts();
        let transport = parts.io.into_inner().into_transport()?;
        parts.read_buf.is_empty().then_some(transport)
    }
}
