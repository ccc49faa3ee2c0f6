//! The transport as hyper's client sees it, and the progress of the exchange on it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Transport;

/// A transport under hyper's client, which writes down how the exchange on it goes.
///
/// Writing never fails here: an engine that refuses a long prompt answers, stops reading and closes,
/// and what it said counts more than that it stopped. So after a failed write the rest of the request is
/// dropped, and the answer is read as far as it came; only where nothing more is to be read does the
/// failure show.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    progress: SharedProgress,
}

/// The progress of the exchange on a [`Wire`], shared with the owner of the connection: hyper does not
/// lend the transport that it was given.
#[derive(Clone, Debug)]
pub(super) struct SharedProgress(Arc<Mutex<ExchangeProgress>>);

/// The progress of one exchange of request and answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangeProgress {
    /// Whether anything of an answer came.
    pub(super) heard: bool,
    /// When something of the request was written last; before that, when the exchange began.
    pub(super) written: Instant,
    /// Whether anything of the request was written.
    pub(super) began: bool,
    /// The error for which the rest of the request could not be written.
    pub(super) unwritten: Option<io::ErrorKind>,
}

// === impl SharedProgress ===

impl SharedProgress {
    /// The progress of an exchange that begins now.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(ExchangeProgress::new())))
    }

    /// Begins another exchange on the same transport.
    pub(super) fn restart(&self) {
        *self.0.lock() = ExchangeProgress::new();
    }

    /// Returns the progress until now.
    pub(super) fn now(&self) -> ExchangeProgress {
        *self.0.lock()
    }
}

// === impl ExchangeProgress ===

impl ExchangeProgress {
    fn new() -> Self {
        Self {
            heard: false,
            written: Instant::now(),
            began: false,
            unwritten: None,
        }
    }
}

// === impl Wire ===

impl Wire {
    /// A transport whose exchanges show in `progress`.
    pub(super) fn new(transport: Transport, progress: SharedProgress) -> Self {
        Self {
            transport,
            progress,
        }
    }

    /// Whether a write failed, so that the rest of the request is dropped.
    fn is_unwritten(&self) -> bool {
        self.progress.now().unwritten.is_some()
    }

    /// Takes the outcome of a write of `all` bytes.
    fn wrote(&mut self, all: usize, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let outcome = ready!(outcome);
        let mut progress = self.progress.0.lock();
        match outcome {
            Ok(written) => {
                if written > 0 {
                    progress.began = true;
                    progress.written = Instant::now();
                }
                Poll::Ready(Ok(written))
            }
            Err(error) => {
                progress.unwritten = Some(error.kind());
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
        let mut progress = self.progress.0.lock();
        if outcome.is_pending()
            && let Some(kind) = progress.unwritten
        {
            return Poll::Ready(Err(kind.into()));
        }
        progress.heard |= buf.filled().len() > before;
        drop(progress);
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_unwritten() {
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
        if self.is_unwritten() {
            return Poll::Ready(Ok(all));
        }
        let outcome = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.wrote(all, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_unwritten() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.transport).poll_flush(cx).map_ok(|()| 0);
        self.wrote(0, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
