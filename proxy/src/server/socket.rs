//! A client's socket with clocks: a header that does not come, a reader that does not read.
//!
//! hyper's own header timer would also close idle kept-alive connections after 10 s, and its
//! answers to broken framing have no body; both are mended here.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::phase::Phase;
use crate::error::{Error, Kind};

/// A kept-alive connection without a request is closed after this (nginx's default).
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The stream of one connection.
pub(super) struct Socket {
    stream: TcpStream,
    phase: Arc<Phase>,
    /// Came, and is to be read first.
    ahead: Bytes,
    header: Duration,
    stall: Duration,
    /// When the present header has to be complete; `None` while a request is answered.
    head_due: Option<Instant>,
    head_begun: bool,
    /// Requests before the one that is awaited.
    answered: u64,
    head_clock: Pin<Box<Sleep>>,
    stall_clock: Pin<Box<Sleep>>,
    stalled: bool,
    reply: Option<Reply>,
}

/// An answer of our own on its way out, after which the connection closes.
struct Reply {
    bytes: Vec<u8>,
    sent: usize,
}

// === impl Socket ===

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        phase: Arc<Phase>,
        header: Duration,
        stall: Duration,
    ) -> Self {
        let due = Instant::now() + header;
        Self {
            stream,
            phase,
            ahead: Bytes::new(),
            header,
            stall,
            head_due: Some(due),
            head_begun: false,
            answered: 0,
            head_clock: Box::pin(sleep_until(due)),
            stall_clock: Box::pin(sleep_until(due)),
            stalled: false,
            reply: None,
        }
    }

    /// Keeps `head_due` in step with the phase: a request that ended starts the keep-alive clock.
    fn follow_phase(&mut self) {
        let begun = self.phase.begun();
        if self.phase.is_busy() {
            self.head_due = None;
        } else if begun != self.answered || self.head_due.is_none() {
            self.answered = begun;
            self.head_begun = false;
            self.set_head_due(KEEP_ALIVE);
        }
    }

    /// Waits until the client says something; false where it does not in its time, or is gone.
    pub(super) async fn spoken(&mut self) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        tokio::select! {
            biased;
            ready = self.stream.readable() => ready.is_ok(),
            () = self.head_clock.as_mut() => false,
        }
    }

    /// Goes on without what read requests, which had this of the next one.
    pub(super) fn rest(&mut self, ahead: Bytes) {
        self.follow_phase();
        // Empty ones hold their buffer all the same.
        self.ahead = if ahead.is_empty() {
            Bytes::new()
        } else {
            ahead
        };
    }

    /// Bytes of a request came.
    fn begin_head(&mut self) {
        if !self.phase.is_busy() && !self.head_begun {
            self.head_begun = true;
            self.phase.speak();
            self.set_head_due(self.header);
        }
    }

    fn set_head_due(&mut self, after: Duration) {
        let due = Instant::now() + after;
        self.head_due = Some(due);
        self.head_clock.as_mut().reset(due);
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(reply) = &mut self.reply {
            if reply.sent == reply.bytes.len() {
                break;
            }
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &reply.bytes[reply.sent..]))?;
            if n == 0 {
                break;
            }
            reply.sent += n;
        }
        Poll::Ready(Ok(()))
    }

    /// hyper's automatic answer to a header that it could not read: status line, empty body.
    fn automatic_answer(&self, buf: &[u8]) -> Option<Error> {
        if self.phase.is_busy() || self.reply.is_some() {
            return None;
        }
        let status = buf.strip_prefix(b"HTTP/1.1 ").and_then(|b| b.get(..3))?;
        let error = match status {
            b"400" | b"414" => Error::new(
                Kind::BadRequest,
                "the request line or a header is not valid HTTP/1.1; the connection is closed",
            ),
            b"431" => Error::new(
                Kind::HeadersTooLarge,
                "the headers are larger than limits.header; send fewer or shorter headers",
            ),
            _ => return None,
        };
        memchr::memmem::find(buf, b"content-length: 0\r\n").map(|_| error)
    }

    fn moved(&mut self) {
        if std::mem::take(&mut self.stalled) {
            self.phase.stall(false);
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.stalled {
            self.stalled = true;
            self.phase.stall(true);
            let due = Instant::now() + self.stall;
            self.stall_clock.as_mut().reset(due);
        }
        ready!(self.stall_clock.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        )))
    }
}

/// A whole HTTP/1.1 answer that closes the connection.
fn closing_answer(error: &Error) -> Vec<u8> {
    let body = error.to_openai().to_string();
    let status = error.status();
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.reply.is_some() {
            ready!(this.poll_reply(cx))?;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        this.follow_phase();
        if !this.ahead.is_empty() {
            let n = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead[..n]);
            this.ahead.advance(n);
            this.begin_head();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if buf.filled().len() > before {
                this.begin_head();
            }
            return Poll::Ready(result);
        }
        if this.head_due.is_some() && this.head_clock.as_mut().poll(cx).is_ready() {
            if this.head_begun {
                this.reply = Some(Reply {
                    bytes: closing_answer(&Error::new(
                        Kind::RequestTimeout,
                        "the request header did not arrive within timeouts.header",
                    )),
                    sent: 0,
                });
                ready!(this.poll_reply(cx))?;
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(error) = this.automatic_answer(buf) {
            this.reply = Some(Reply {
                bytes: closing_answer(&error),
                sent: 0,
            });
        }
        if this.reply.is_some() {
            ready!(this.poll_reply(cx))?;
            return Poll::Ready(Ok(buf.len()));
        }
        match Pin::new(&mut this.stream).poll_write(cx, buf) {
            Poll::Ready(result) => {
                this.moved();
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_stall(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = bufs.iter().find(|b| !b.is_empty());
        if this.reply.is_some() || first.is_some_and(|b| this.automatic_answer(b).is_some()) {
            let first = first.map_or(&[][..], |b| &b[..]);
            return Pin::new(this).poll_write(cx, first);
        }
        match Pin::new(&mut this.stream).poll_write_vectored(cx, bufs) {
            Poll::Ready(result) => {
                this.moved();
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_stall(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
