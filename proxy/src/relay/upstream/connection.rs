//! One HTTP/1.1 connection to an engine, moved by the task that waits for its answer.
//!
//! ureq-proto knows the protocol and does no I/O. So a connection needs no task of its own, and
//! while it waits, no buffer: it reads into the stack and keeps only the beginning of what has not
//! come whole. One of hyper's client holds 13 KiB of touched pages while its stream stands still:
//! two buffers of 8 KiB and a channel's block of 9 KiB (hyper 1.12).

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut, buf::Chain};
use http::{Request, Response};
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::TcpStream,
};
use tokio_util::io::poll_write_buf;
use ureq_proto::{
    BodyMode, Error,
    client::{
        Call, RecvBodyResult, RecvResponseResult, SendRequestResult,
        state::{RecvBody, RecvResponse},
    },
};

/// Most that is read from an engine at once, and so the longest piece of an answer: what a client
/// that reads slowly costs in memory. The head of an answer must fit as well.
const READ: usize = 16 * 1024;

/// Room for a request's line and the punctuation of its headers.
const LINES: usize = 256;

/// A connection, and what of an exchange is still to come.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// What came of something that is not whole yet: a head, or the length of a chunk.
    unread: BytesMut,
    /// What of the request is not written yet; an engine may answer before it has read it.
    unsent: Option<Chain<Bytes, Bytes>>,
    /// The rest of an answer's body.
    rest: Option<Call<RecvBody>>,
    /// It carries no further request.
    closing: bool,
    /// When the last of a request was written, or its writing began.
    written: Instant,
}

/// A connection that broke before the head of an answer was whole.
#[derive(Debug)]
pub(super) struct Broken {
    /// Nothing of an answer had come.
    pub(super) silent: bool,
    /// How long after the request was written.
    pub(super) after: Duration,
    pub(super) error: io::Error,
}

fn protocol(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The head of a request as it is written, and the call that waits for its answer. A call is 400
/// bytes that each step moves, so errors are not mapped on the way.
fn head(request: Request<()>, body: usize) -> Result<(Bytes, Call<RecvResponse>), Error> {
    let headers = request.headers().iter();
    let room = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    let room = LINES + request.uri().path().len() + room.sum::<usize>();
    let mut call = Call::new(request)?.proceed();
    let mut head = BytesMut::zeroed(room);
    let written = call.write(&mut head)?;
    head.truncate(written);
    let head = head.freeze();
    match call.proceed()? {
        Some(SendRequestResult::RecvResponse(call)) => Ok((head, call)),
        Some(SendRequestResult::SendBody(mut call)) => {
            call.consume_direct_write(body)?;
            match call.proceed() {
                Some(call) => Ok((head, call)),
                None => Err(Error::BodyLargerThanContentLength),
            }
        }
        // It asks for no "100 Continue", and its head has room.
        Some(SendRequestResult::Await100(_)) | None => Err(Error::OutputOverflow),
    }
}

/// How much of the input was used, and what came of the body: of one chunk at most, so that an
/// error that follows an event at once does not take its place.
fn decode(call: &mut Call<RecvBody>, input: &[u8]) -> io::Result<(usize, Bytes)> {
    let mut piece = BytesMut::zeroed(input.len());
    let mut used = 0;
    loop {
        let (step, made) = call.read(&input[used..], &mut piece).map_err(protocol)?;
        used += step;
        if made > 0 || step == 0 {
            piece.truncate(made);
            return Ok((used, piece.freeze()));
        }
    }
}

/// Whether the body is whole, without its connection's end.
fn is_whole(call: &Call<RecvBody>) -> bool {
    call.can_proceed() && call.body_mode() != BodyMode::CloseDelimited
}

// === impl Connection ===

impl Connection {
    /// Speaks HTTP/1.1 on a socket.
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            unread: BytesMut::new(),
            unsent: None,
            rest: None,
            closing: false,
            written: Instant::now(),
        }
    }

    /// Sends a request, whose headers give the body's length, and waits for the answer's head.
    pub(super) fn request(
        &mut self,
        request: Request<()>,
        body: Bytes,
    ) -> impl Future<Output = Result<Response<()>, Broken>> + Send {
        let made = head(request, body.len()).map(|(head, call)| {
            self.unsent = Some(head.chain(body));
            call
        });
        async move {
            let mut silent = true;
            let mut call = made.map_err(|error| Broken {
                silent: false,
                after: Duration::ZERO,
                error: io::Error::other(error),
            })?;
            self.written = Instant::now();
            let response = poll_fn(|cx| self.poll_head(&mut call, &mut silent, cx)).await;
            let response = response.map_err(|error| Broken {
                silent,
                after: self.written.elapsed(),
                error,
            })?;
            match call.proceed() {
                Some(RecvResponseResult::RecvBody(mut call)) => {
                    call.stop_on_chunk_boundary(true);
                    self.rest = Some(call);
                }
                Some(RecvResponseResult::Cleanup(call)) => {
                    self.closing = call.must_close_connection();
                }
                Some(RecvResponseResult::Redirect(_)) | None => self.closing = true,
            }
            Ok(response)
        }
    }

    fn poll_head(
        &mut self,
        call: &mut Call<RecvResponse>,
        silent: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Response<()>>> {
        // What an engine said before it stopped reading counts more than that it stopped.
        let failed = self.poll_send(cx).err();
        loop {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.socket).poll_read(cx, &mut read) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    return failed.map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
            }
            if read.filled().is_empty() {
                return Poll::Ready(Err(
                    failed.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
                ));
            }
            *silent = false;
            self.unread.extend_from_slice(read.filled());
            loop {
                let (used, response) = call.try_response(&self.unread, false).map_err(protocol)?;
                self.take(used);
                if let Some(response) = response {
                    return Poll::Ready(Ok(response));
                }
                // After "100 Continue" the answer itself may be there already.
                if used == 0 {
                    break;
                }
            }
            if self.unread.len() >= READ {
                return Poll::Ready(Err(protocol(Error::HttpParseTooManyHeaders)));
            }
        }
    }

    /// The next piece of the body; `None` at its end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let polled = self.poll_rest(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => {
                self.rest = None;
                self.closing = true;
            }
            Poll::Ready(_) => self.end_if_whole(),
            Poll::Pending => {}
        }
        polled
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.poll_send(cx).is_err() {
            self.closing = true;
        }
        loop {
            let Some(call) = &mut self.rest else {
                return Poll::Ready(None);
            };
            if !self.unread.is_empty() {
                let (used, piece) = decode(call, &self.unread)?;
                self.take(used);
                if !piece.is_empty() {
                    return Poll::Ready(Some(Ok(piece)));
                }
                if used == 0 && self.unread.len() >= READ {
                    return Poll::Ready(Some(Err(protocol(Error::ChunkExpectedCrLf))));
                }
                self.end_if_whole();
            }
            let Some(call) = &mut self.rest else {
                return Poll::Ready(None);
            };
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let read = read.filled();
            if read.is_empty() {
                self.closing = true;
                let whole = call.body_mode() == BodyMode::CloseDelimited || call.is_ended_chunked();
                if !whole {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                self.rest = None;
                return Poll::Ready(None);
            }
            if self.unread.is_empty() {
                let (used, piece) = decode(call, read)?;
                self.unread.extend_from_slice(&read[used..]);
                if !piece.is_empty() {
                    return Poll::Ready(Some(Ok(piece)));
                }
                self.end_if_whole();
            } else {
                self.unread.extend_from_slice(read);
            }
        }
    }

    /// Writes what the socket takes; an error ends the writing.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(unsent) = &mut self.unsent {
            match poll_write_buf(Pin::new(&mut self.socket), cx, unsent) {
                Poll::Pending => break,
                Poll::Ready(Ok(written)) if written > 0 && unsent.has_remaining() => {}
                Poll::Ready(Ok(_)) => {
                    self.unsent = None;
                    self.written = Instant::now();
                }
                Poll::Ready(Err(error)) => {
                    self.unsent = None;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, used: usize) {
        self.unread.advance(used);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
    }

    fn end_if_whole(&mut self) {
        if let Some(call) = self.rest.take_if(|call| is_whole(call)) {
            let goes_on = matches!(
                call.proceed(),
                Some(RecvBodyResult::Cleanup(call)) if !call.must_close_connection()
            );
            self.closing |= !goes_on;
        }
    }

    /// Bytes of the body that are still to come, where the engine said how many.
    pub(super) fn left(&self) -> Option<u64> {
        match self.rest.as_ref().map(Call::body_mode) {
            None | Some(BodyMode::NoBody) => Some(0),
            Some(BodyMode::LengthDelimited(left)) => Some(left),
            Some(BodyMode::Chunked | BodyMode::CloseDelimited) => None,
        }
    }

    /// Whether the answer is whole.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    /// Whether another request may be sent: the last answer is whole, and the engine has neither
    /// closed nor said anything since.
    pub(super) fn is_free(&self) -> bool {
        let quiet = || {
            let looked = self.socket.try_read(&mut [0]);
            looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        !self.closing
            && self.is_done()
            && self.unsent.is_none()
            && self.unread.is_empty()
            && quiet()
    }
}
