//! Exchanges of a request and its answer on a connection to an engine, one after another.
//!
//! hyper's client knows the protocol. Its connection is no task of its own: whoever waits for the
//! answer, or reads its body, moves it in the same poll, so that an event of an answer wakes one task
//! and not two.

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

use super::{
    Transport,
    halves::HalvesWaker,
    wire::{SharedProgress, Wire},
};

/// The most that is read from an engine at once, and so the longest piece of an answer: what a
/// client that reads slowly costs in memory. The head of an answer must fit as well.
const READ: usize = 16 * 1024;

/// A connection to an engine, driven by whoever waits for the answer that comes over it.
pub(super) struct Connection<B: Body + 'static> {
    http: http1::Connection<TokioIo<Wire>, B>,
    requests: SendRequest<B>,
    progress: SharedProgress,
    halves: HalvesWaker,
    /// hyper will do nothing more on it.
    over: bool,
}

/// A connection that broke before the head of an answer was whole.
#[derive(Debug)]
pub struct Broken {
    /// Whether nothing of an answer had come.
    pub silent: bool,
    /// Whether nothing of the request was written, so that another connection may carry it.
    pub unsent: bool,
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
    /// Speaks HTTP/1.1 on a transport, on which nothing was sent yet.
    pub(super) async fn new(transport: Transport) -> Result<Box<Self>, Broken> {
        let progress = SharedProgress::new();
        let wire = Wire::new(transport, progress.clone());
        let handshake = http1::Builder::new()
            .max_buf_size(READ)
            .handshake(TokioIo::new(wire));
        // It is ready at once: HTTP/1.1 begins with a request.
        let (requests, http) = handshake.await.map_err(|error| Broken {
            silent: false,
            unsent: true,
            after: Duration::ZERO,
            error: io_error(error),
        })?;
        Ok(Box::new(Self {
            http,
            requests,
            progress,
            halves: HalvesWaker::new(),
            over: false,
        }))
    }

    /// Sends a request, whose headers give the body's length, and waits for the answer's head.
    pub(super) fn exchange(
        mut self: Box<Self>,
        request: Request<B>,
    ) -> impl Future<Output = Result<(Response<Incoming>, Box<Self>), Broken>> + Send {
        self.progress.restart();
        let answer = self.requests.send_request(request);
        async move {
            let mut answer = pin!(answer);
            let head = poll_fn(|cx| self.poll_head(answer.as_mut(), cx)).await;
            match head {
                Ok(response) => Ok((response, self)),
                Err(error) => Err(self.broken(error)),
            }
        }
    }

    /// Moves the connection until the head of the answer is there.
    fn poll_head(
        &mut self,
        mut answer: Pin<&mut impl Future<Output = hyper::Result<Response<Incoming>>>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Response<Incoming>>> {
        let Self {
            http, halves, over, ..
        } = self;
        halves.poll(cx, |halves| {
            let moved = match halves.connection.woken() {
                Some(mut cx) => http.poll_without_shutdown(&mut cx),
                None => Poll::Pending,
            };
            *over |= moved.is_ready();
            let head = match halves.answer.woken() {
                Some(mut cx) => answer.as_mut().poll(&mut cx),
                None => Poll::Pending,
            };
            match (head, moved) {
                (Poll::Ready(answer), _) => Poll::Ready(answer.map_err(io_error)),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(io_error(error))),
                // The engine closed before hyper took the request up.
                (Poll::Pending, Poll::Ready(Ok(()))) => {
                    Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
                }
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        })
    }

    /// The end of an exchange that got no answer, for this error.
    fn broken(&self, error: io::Error) -> Broken {
        let progress = self.progress.now();
        let error = match error.kind() {
            // It spoke first, or said more than an answer.
            io::ErrorKind::UnexpectedEof if progress.heard && !progress.began => {
                io::Error::new(io::ErrorKind::InvalidData, error)
            }
            _ => error,
        };
        Broken {
            silent: !progress.heard,
            unsent: !progress.began,
            after: progress.written.elapsed(),
            error,
        }
    }

    /// The next frame of an answer's body; `None` at its end.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self {
            http, halves, over, ..
        } = self;
        halves.poll(cx, |halves| {
            if !*over && let Some(mut cx) = halves.connection.woken() {
                // An error of the connection shows in the body.
                *over = http.poll_without_shutdown(&mut cx).is_ready();
            }
            let frame = match halves.answer.woken() {
                Some(mut cx) => Pin::new(&mut *body).poll_frame(&mut cx),
                None => Poll::Pending,
            };
            match frame {
                Poll::Pending if *over => {
                    Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
                }
                frame => frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other))),
            }
        })
    }

    /// Lets go of the task that drove the connection, where a further request may be sent: the answer is
    /// whole, the request was read, and the engine keeps the connection. Returns whether it may.
    pub(super) fn release(&self) -> bool {
        let is_idle =
            !self.over && self.requests.is_ready() && self.progress.now().unwritten.is_none();
        if is_idle {
            self.halves.release();
        }
        is_idle
    }
}
