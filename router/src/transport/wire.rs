//! The transport as hyper's client sees it: it tells afterwards how an exchange on it went.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Transport;

/// A transport during one exchange of request and answer.
///
/// Writing never fails here: an engine that refuses a long prompt answers, stops reading and closes,
/// and what it said counts more than that it stopped. So after a failed write the rest of the request is
/// dropped, and the answer is read as far as it came; only where nothing more is to be read does the
/// failure show.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    /// Whether anything of an answer came.
    heard: bool,
    /// When something of the request was written last; before that, when the exchange began.
    written: Instant,
    /// Whether anything of the request was written.
    began: bool,
    /// The error for which the rest of the request could not be written.
    unwritten: Option<io::Error>,
}

// === impl Wire ===

impl Wire {
    /// A transport on which nothing of this exchange was sent yet.
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            heard: false,
            written: Instant::now(),
            began: false,
            unwritten: None,
        }
    }

    /// Whether anything of an answer came.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// Whether anything of the request was written.
    pub(super) fn is_written(&self) -> bool {
        self.began
    }

    /// When something of the request was written last; before that, when the exchange began.
    pub(super) fn written(&self) -> Instant {
        self.written
    }

    /// The transport for a further exchange; `None` after a failure.
    pub(super) fn into_transport(self) -> Option<Transport> {
        self.unwritten.is_none().then_some(self.transport)
    }

    /// Takes the outcome of a write of `all` bytes.
    fn wrote(&mut self, all: usize, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match ready!(outcome) {
            Ok(written) => {
                if written > 0 {
                    self.began = true;
                    self.written = Instant::now();
                }
                Poll::Ready(Ok(written))
            }
            Err(error) => {
                self.unwritten = Some(error);
                Poll::Ready(Ok(all))
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.transport).poll_read(cx, buf);
        if outcome.is_pending()
            && let Some(error) = &self.unwritten
        {
            return Poll::Ready(Err(error.kind().into()));
        }
        self.heard |= buf.filled().len() > before;
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unwritten.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.wrote(buf.len(), outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.unwritten.is_some() {
            return Poll::Ready(Ok(all));
        }
        let outcome = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.wrote(all, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unwritten.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.transport).poll_flush(cx).map_ok(|()| 0);
        self.wrote(0, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
