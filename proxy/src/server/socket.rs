//! A client's socket with clocks: a header that does not come, a reader that does not read.
//!
//! hyper's own header timer would also close idle kept-alive connections after 10 s, and its
//! answers to broken framing have no body; both are mended here.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Bounds,
    linger::Linger,
    phase::Phase,
    refusal::{Head, OnRefuse, Reply},
};
use crate::error::{Error, Kind};

/// A kept-alive connection without a request is closed after this (nginx's default).
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The stream of one connection.
pub(super) struct Socket {
    stream: TcpStream,
    phase: Arc<Phase>,
    /// Came, and is to be read first.
    ahead: Bytes,
    bounds: Bounds,
    /// When the present header has to be complete; `None` while a request is answered.
    head_due: Option<Instant>,
    head_begun: bool,
    head: Head,
    /// Requests before the one that is awaited.
    answered: u64,
    head_clock: Pin<Box<Sleep>>,
    stall_clock: Pin<Box<Sleep>>,
    stalled: bool,
    on_refuse: OnRefuse,
    reply: Option<Reply>,
    linger: Option<Box<Linger>>,
}

// === impl Socket ===

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        phase: Arc<Phase>,
        bounds: Bounds,
        on_refuse: OnRefuse,
    ) -> Self {
        let due = Instant::now() + bounds.header;
        Self {
            stream,
            phase,
            ahead: Bytes::new(),
            bounds,
            head_due: Some(due),
            head_begun: false,
            head: Head::default(),
            answered: 0,
            head_clock: Box::pin(sleep_until(due)),
            stall_clock: Box::pin(sleep_until(due)),
            stalled: false,
            on_refuse,
            reply: None,
            linger: None,
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
    fn read_head(&mut self, bytes: &[u8]) {
        if self.phase.is_busy() {
            return;
        }
        if self.head_begun {
            self.head.goes_on(bytes);
        } else {
            self.head_begun = true;
            self.head = Head::begun(bytes);
            self.phase.speak();
            self.set_head_due(self.bounds.header);
        }
    }

    /// Answers what is no request.
    fn refuse(&mut self, error: &Error) {
        let refusal = (self.on_refuse)(error);
        self.reply = Some(Reply::new(error, &refusal, SystemTime::now()));
    }

    /// The last word on a connection that could not be read, where it has not been said.
    pub(super) async fn close_unread(mut self) {
        if self.reply.is_none() && self.head_begun && self.head.is_http2() {
            self.refuse(&self.head.malformed());
        }
        if self.reply.is_some() {
            // Whether it is heard or not, this is the end.
            let _ = poll_fn(|cx| self.poll_last(cx)).await;
        }
    }

    /// Writes the reply, then closes.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_reply(cx))?;
        self.poll_close(cx)
    }

    /// Closes; where the client may still be sending, not before it has stopped.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let sends = self.reply.is_some() || self.phase.owes_body() || self.has_unread();
            if !sends {
                return Pin::new(&mut self.stream).poll_shutdown(cx);
            }
            self.phase.close();
        }
        let linger = self
            .linger
            .get_or_insert_with(|| Box::new(Linger::new(self.bounds.linger)));
        linger.poll(&mut self.stream, cx)
    }

    /// Bytes came that nobody will read.
    fn has_unread(&self) -> bool {
        !self.ahead.is_empty() || matches!(self.stream.try_read(&mut [0]), Ok(1..))
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
        let error = self.head.fault(status, self.bounds.header_bytes)?;
        memchr::memmem::find(buf, b"content-length: 0\r\n").map(|_| error)
    }

    fn moved(&mut self) {
        if std::mem::take(&mut self.stalled) {
            self.phase.stall(false);
            if self.head_due.is_some() {
                let after = if self.head_begun {
                    self.bounds.header
                } else {
                    KEEP_ALIVE
                };
                self.set_head_due(after);
            }
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.stalled {
            self.stalled = true;
            self.phase.stall(true);
            let due = Instant::now() + self.bounds.client_stall;
            self.stall_clock.as_mut().reset(due);
        }
        ready!(self.stall_clock.as_mut().poll(cx));
        self.phase.give_up();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        )))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.reply.is_some() {
            ready!(this.poll_last(cx))?;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        this.follow_phase();
        if !this.ahead.is_empty() {
            let n = this.ahead.len().min(buf.remaining());
            let ahead = this.ahead.split_to(n);
            buf.put_slice(&ahead);
            this.read_head(&ahead);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if buf.filled().len() > before {
                this.read_head(&buf.filled()[before..]);
            }
            return Poll::Ready(result);
        }
        // Who still reads an answer owes no request.
        let waits = this.head_due.is_some() && !this.stalled;
        if waits && this.head_clock.as_mut().poll(cx).is_ready() {
            if this.head_begun {
                this.refuse(&Error::new(
                    Kind::RequestTimeout,
                    "the request header did not arrive within timeouts.header",
                ));
                ready!(this.poll_last(cx))?;
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
            this.refuse(&error);
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
        self.poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant as Began;

    use tokio::{io::AsyncReadExt as _, net::TcpListener, time::sleep};

    use super::*;

    fn read(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 16];
        Pin::new(socket).poll_read(cx, &mut ReadBuf::new(&mut space))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_reads_its_answer_is_not_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut client = client.unwrap();
        let phase = Arc::new(Phase::new(Began::now(), false));
        let bounds = Bounds {
            header_bytes: 1024,
            header: Duration::from_secs(10),
            client_stall: Duration::from_hours(1),
            linger: 0,
        };
        let on_refuse: OnRefuse = Arc::new(|_| crate::server::refusal::SocketRefusal::default());
        let mut socket = Socket::new(accepted.unwrap().0, Arc::clone(&phase), bounds, on_refuse);
        // Its answer is with what writes it, and the client takes none of it.
        drop(Phase::begin(&phase));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut sent = 0;
        while let Poll::Ready(written) = Pin::new(&mut socket).poll_write(&mut cx, &[b'x'; 8192]) {
            sent += written.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(read(&mut socket, &mut cx).is_pending());
        sleep(KEEP_ALIVE * 2).await;
        assert!(read(&mut socket, &mut cx).is_pending());
        // From the end of it on it is.
        let mut taken = vec![0; sent];
        client.read_exact(&mut taken).await.unwrap();
        let last = poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, b"x")).await;
        assert_eq!(last.unwrap(), 1);
        assert!(read(&mut socket, &mut cx).is_pending());
        sleep(KEEP_ALIVE).await;
        assert!(read(&mut socket, &mut cx).is_ready());
    }
}
