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
    time::Instant,
};

use super::{
    lazy_clock::LazyClock,
    limits::ConnectionLimits,
    linger::LingeringClose,
    reply::{HeadScan, OnRefuse, SocketReply},
    state::ConnectionState,
};
use crate::error::{Error, ErrorKind};

/// The time after which a kept-alive connection without a request is closed (nginx's default).
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The socket of one client connection, with the clocks of its header and of its reader.
pub(super) struct ClientSocket {
    stream: TcpStream,
    state: Arc<ConnectionState>,
    /// The bytes that were read already and are to be read again first.
    ahead: Bytes,
    limits: ConnectionLimits,
    /// The time at which the present header has to be complete; `None` while a request is answered.
    head_due: Option<Instant>,
    head_begun: bool,
    head: HeadScan,
    /// Requests before the one that is awaited.
    answered: u64,
    head_clock: LazyClock,
    stall_clock: LazyClock,
    stalled: bool,
    on_refuse: OnRefuse,
    reply: Option<SocketReply>,
    linger: Option<Box<LingeringClose>>,
}

/// The outcome of a write to the client.
type WriteOutcome = Poll<io::Result<usize>>;

// === impl ClientSocket ===

impl ClientSocket {
    /// Takes an accepted connection; the first head has to be complete within `limits.header`.
    pub(super) fn new(
        stream: TcpStream,
        state: Arc<ConnectionState>,
        limits: ConnectionLimits,
        on_refuse: OnRefuse,
    ) -> Self {
        let due = Instant::now() + limits.header;
        Self {
            stream,
            state,
            ahead: Bytes::new(),
            limits,
            head_due: Some(due),
            head_begun: false,
            head: HeadScan::default(),
            answered: 0,
            head_clock: LazyClock::new(due),
            stall_clock: LazyClock::new(due),
            stalled: false,
            on_refuse,
            reply: None,
            linger: None,
        }
    }

    /// Keeps `head_due` in step with the state: a request that ended starts the keep-alive clock.
    fn follow_state(&mut self) {
        let begun = self.state.requests();
        if self.state.is_busy() {
            self.head_due = None;
            self.state.bound_unsent(&self.stream);
        } else if begun != self.answered || self.head_due.is_none() {
            self.answered = begun;
            self.head_begun = false;
            self.set_head_due(KEEP_ALIVE);
        }
    }

    /// Waits for a byte of the client; false where none comes in its time, or the client is gone.
    pub(super) async fn readable(&mut self) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        tokio::select! {
            biased;
            ready = self.stream.readable() => ready.is_ok(),
            () = poll_fn(|cx| self.head_clock.poll(cx)) => false,
        }
    }

    /// Parks the connection: what read requests is dropped, and had these bytes of the next one.
    pub(super) fn park(&mut self, ahead: Bytes) {
        self.follow_state();
        // Empty ones hold their buffer all the same.
        self.ahead = Some(ahead).filter(|b| !b.is_empty()).unwrap_or_default();
    }

    /// Follows the bytes of a head as they come.
    fn read_head(&mut self, bytes: &[u8]) {
        if self.state.is_busy() {
            return;
        }
        if self.head_begun {
            self.head.extend(bytes);
        } else {
            self.head_begun = true;
            self.head = HeadScan::begun(bytes);
            self.state.begin_head();
            self.set_head_due(self.limits.header);
        }
    }

    /// Answers bytes that are no request, after which the connection closes.
    fn refuse(&mut self, error: &Error) {
        let refusal = (self.on_refuse)(error);
        self.reply = Some(SocketReply::new(error, &refusal, SystemTime::now()));
    }

    /// Ends a connection on which no request could be read, with an answer where none was given yet.
    pub(super) async fn close_unread(mut self) {
        if self.reply.is_none() && self.head_begun && self.head.is_http2() {
            self.refuse(&self.head.malformed());
        }
        if self.reply.is_some() {
            // Whether the client takes it or not, the connection ends.
            let _ = poll_fn(|cx| self.poll_last(cx)).await;
        }
    }

    /// Writes the reply, then closes.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_reply(cx))?;
        self.poll_close(cx)
    }

    /// Closes the connection; where the client may still be sending, not before it has stopped.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let sends = self.reply.is_some() || self.state.expects_body() || self.has_unread();
            if !sends {
                return Pin::new(&mut self.stream).poll_shutdown(cx);
            }
            self.state.close();
        }
        let linger = self
            .linger
            .get_or_insert_with(|| Box::new(LingeringClose::new(self.limits.linger)));
        linger.poll(&mut self.stream, cx)
    }

    /// Whether bytes came that nothing will read.
    fn has_unread(&self) -> bool {
        !self.ahead.is_empty() || matches!(self.stream.try_read(&mut [0]), Ok(1..))
    }

    fn set_head_due(&mut self, after: Duration) {
        let due = Instant::now() + after;
        self.head_due = Some(due);
        self.head_clock.set(due);
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
        if self.state.is_busy() || self.reply.is_some() {
            return None;
        }
        let status = buf.strip_prefix(b"HTTP/1.1 ").and_then(|b| b.get(..3))?;
        let error = self.head.fault(status, self.limits.header_bytes)?;
        memchr::memmem::find(buf, b"content-length: 0\r\n").map(|_| error)
    }

    fn moved(&mut self) {
        if std::mem::take(&mut self.stalled) {
            self.state.stall(false);
            if self.head_due.is_some() {
                let after = if self.head_begun {
                    self.limits.header
                } else {
                    KEEP_ALIVE
                };
                self.set_head_due(after);
            }
        }
    }

    /// Takes the outcome of a write: something moved, or the client does not read.
    fn written(&mut self, outcome: WriteOutcome, cx: &mut Context<'_>) -> WriteOutcome {
        if outcome.is_pending() {
            return self.poll_stall(cx);
        }
        self.moved();
        outcome
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.stalled, true) {
            self.state.stall(true);
            self.stall_clock
                .set(Instant::now() + self.limits.client_stall);
        }
        ready!(self.stall_clock.poll(cx));
        self.state.give_up();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        )))
    }
}

impl AsyncRead for ClientSocket {
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
        this.follow_state();
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
        // A client that still reads an answer owes no request.
        let waits = this.head_due.is_some() && !this.stalled;
        if waits && this.head_clock.poll(cx).is_ready() {
            if this.head_begun {
                this.refuse(&Error::new(
                    ErrorKind::RequestTimeout,
                    "the request header did not arrive within timeouts.header",
                ));
                ready!(this.poll_last(cx))?;
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for ClientSocket {
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
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(outcome, cx)
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
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(outcome, cx)
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

    use super::{super::reply::SocketRefusal, *};

    fn read(socket: &mut ClientSocket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 16];
        Pin::new(socket).poll_read(cx, &mut ReadBuf::new(&mut space))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_reads_its_answer_is_not_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut client = client.unwrap();
        let state = Arc::new(ConnectionState::new(Began::now(), false));
        let limits = ConnectionLimits {
            header_bytes: 1024,
            header: Duration::from_secs(10),
            client_stall: Duration::from_hours(1),
            linger: 0,
        };
        let on_refuse: OnRefuse = Arc::new(|_| SocketRefusal::default());
        let mut socket =
            ClientSocket::new(accepted.unwrap().0, Arc::clone(&state), limits, on_refuse);
        // Its answer is with what writes it, and the client takes none of it.
        drop(ConnectionState::begin(&state));
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
