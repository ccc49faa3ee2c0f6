//! One HTTP/1.1 connection to an engine, driven by the task that waits for its answer.
//!
//! hyper leaves it to the caller where a connection runs. In a task of its own, each chunk costs a
//! wake-up there and back, and pieces that came together are handed over one by one. Driven in
//! place, one wake-up of the socket carries everything that was read to the client.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Something may have changed since the last look.
const WOKEN: u8 = 1;
/// Somebody looks right now: what wakes meanwhile is seen by the look's end.
const LOOKING: u8 = 2;

/// Looks in a row before other tasks have their turn.
const LOOKS: u32 = 8;

/// Most that is read from an engine before its stream takes it: what a client that reads slowly
/// costs in memory. hyper's own bound is 400 KiB. The head of an answer must fit as well.
const READ_BUFFER: usize = 16 * 1024;

/// Wakes the task that drives, but not for what it does itself.
#[derive(Debug, Default)]
struct Signal {
    state: AtomicU8,
    task: AtomicWaker,
}

/// A connection and the end that takes requests.
#[derive(Debug)]
pub(super) struct Connection {
    send: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>,
    signal: Arc<Signal>,
    waker: Waker,
}

// === impl Signal ===

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & LOOKING == 0 {
            self.task.wake();
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Speaks HTTP/1.1 on a socket.
    pub(super) async fn open(io: TokioIo<TcpStream>) -> hyper::Result<Self> {
        let (send, driver) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(io)
            .await?;
        let signal = Arc::new(Signal::default());
        signal.state.store(WOKEN, Ordering::Release);
        Ok(Self {
            send,
            driver: Some(driver),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
        })
    }

    /// Sends a request and waits for the answer's head. What was never written comes back with
    /// the error.
    pub(super) async fn request(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut response = std::pin::pin!(self.send.try_send_request(request));
        std::future::poll_fn(|cx| self.poll_driving(cx, |cx| response.as_mut().poll(cx))).await
    }

    /// Moves what the socket has, then asks `poll`, until it is ready or nothing moves.
    pub(super) fn poll_driving<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.signal.task.register(cx.waker());
        if self.signal.state.load(Ordering::Acquire) & WOKEN == 0 {
            return Poll::Pending;
        }
        for _ in 0..LOOKS {
            self.signal.state.store(LOOKING, Ordering::Release);
            self.drive();
            if let Poll::Ready(ready) = poll(&mut Context::from_waker(&self.waker)) {
                // Whoever got something asks again.
                self.signal.state.store(WOKEN, Ordering::Release);
                return Poll::Ready(ready);
            }
            if self.signal.state.swap(0, Ordering::AcqRel) & WOKEN == 0 {
                return Poll::Pending;
            }
        }
        self.signal.state.store(WOKEN, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether another request may be sent: the engine has not closed, and the last answer is
    /// whole.
    pub(super) fn is_free(&mut self) -> bool {
        // Nobody waits for it from here on.
        drop(self.signal.task.take());
        self.signal.state.store(LOOKING, Ordering::Release);
        self.drive();
        self.signal.state.store(WOKEN, Ordering::Release);
        self.driver.is_some() && self.send.is_ready()
    }

    fn drive(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if let Some(driver) = &mut self.driver
            && let Poll::Ready(ended) = Pin::new(driver).poll(&mut cx)
        {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection to an engine");
            }
            self.driver = None;
        }
    }
}
