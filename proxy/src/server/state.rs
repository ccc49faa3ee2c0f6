//! The state of a connection: idle, reading a head, busy, stalled, evicted.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{net::TcpStream, sync::Notify};

use super::unsent;

/// The state of one connection, which its socket, its service and its slot share.
///
/// A connection is *idle* until the first byte of a request, *reading a head* until that is whole, *busy*
/// until the last byte of the answer was handed to the socket, and then idle again.
#[derive(Debug)]
pub(super) struct ConnectionState {
    /// The origin of the moments below.
    began: Instant,
    /// The moment from which it has been idle; 0 while it is not.
    idle: AtomicU64,
    /// The moment at which the head that is being read began; 0 while none is.
    head: AtomicU64,
    /// Requests whose head came whole so far.
    requests: AtomicU64,
    /// The client does not take what is written.
    stalled: AtomicBool,
    /// Whether the connection was given up because the client took nothing for too long.
    slow: AtomicBool,
    /// Whether the system shall keep little of what the client has not taken.
    keeps_little: AtomicBool,
    /// More of the body of the present request is to come.
    expecting_body: AtomicBool,
    /// Whether the connection only waits for the client to close.
    closing: AtomicBool,
    /// A request is being answered. While none is, the socket's header clock runs.
    busy: AtomicBool,
    /// Whether the connection was accepted although all slots were taken.
    over_limit: bool,
    /// Whether the slot of the connection was given to another one.
    evicted: AtomicBool,
    evict: Notify,
}

/// Marks a request as being answered until it is dropped, which is at the end of the response body.
#[derive(Debug)]
pub(super) struct BusyGuard(Arc<ConnectionState>);

pin_project! {
    /// A response body that frees its connection for the next request when it is dropped.
    pub struct TrackedBody<B> {
        #[pin]
        inner: B,
        busy: Option<BusyGuard>,
    }
}

// === impl ConnectionState ===

impl ConnectionState {
    /// The state of a new connection, which is idle. `began` is the origin of its moments, the same for all
    /// connections that are compared.
    pub(super) fn new(began: Instant, over_limit: bool) -> Self {
        let this = Self {
            began,
            idle: AtomicU64::new(0),
            head: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            keeps_little: AtomicBool::new(false),
            expecting_body: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            over_limit,
            evicted: AtomicBool::new(false),
            evict: Notify::new(),
        };
        this.become_idle();
        this
    }

    /// A head came whole: the connection is busy until the guard is dropped.
    pub(super) fn begin(this: &Arc<Self>) -> BusyGuard {
        this.idle.store(0, Ordering::Release);
        this.head.store(0, Ordering::Release);
        this.requests.fetch_add(1, Ordering::AcqRel);
        this.busy.store(true, Ordering::Release);
        BusyGuard(Arc::clone(this))
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// The number of requests whose head came whole so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }

    /// Notes whether the client takes what is written.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Release);
    }

    /// Whether there is something written that the client has not taken yet.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Notes that the connection was given up, because the client took nothing for too long.
    pub(super) fn give_up(&self) {
        self.slow.store(true, Ordering::Release);
    }

    /// Whether the connection was given up because the client took nothing for too long.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Acquire)
    }

    /// Asks the socket to let the system keep little of what the client has not taken.
    pub(super) fn shrink_send_buffer(&self) {
        self.keeps_little.store(true, Ordering::Release);
    }

    /// Bounds what the system keeps of a connection, where that was asked for.
    pub(super) fn bound_unsent(&self, stream: &TcpStream) {
        if self.keeps_little.load(Ordering::Acquire)
            && self.keeps_little.swap(false, Ordering::AcqRel)
            && let Err(error) = unsent::bound(stream)
        {
            tracing::debug!(%error, "the bytes that are kept for a reader were not bounded");
        }
    }

    /// Notes whether more of the body of the present request is to come.
    pub(super) fn expect_body(&self, more: bool) {
        self.expecting_body.store(more, Ordering::Release);
    }

    /// Whether the client still sends the body of a request.
    pub(super) fn expects_body(&self) -> bool {
        self.expecting_body.load(Ordering::Acquire)
    }

    /// Notes that nothing more is answered: the connection only lingers.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.become_idle();
    }

    /// The first byte of a head came.
    pub(super) fn begin_head(&self) {
        self.idle.store(0, Ordering::Release);
        self.head.store(self.moment(), Ordering::Release);
    }

    fn become_idle(&self) {
        self.head.store(0, Ordering::Release);
        self.idle.store(self.moment(), Ordering::Release);
    }

    /// Microseconds since `began`, plus one, so that no moment is 0.
    fn moment(&self) -> u64 {
        let micros = self.began.elapsed().as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The time at which the head began that is not whole yet.
    pub(super) fn head_since(&self) -> Option<Instant> {
        let since = self.head.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.began + Duration::from_micros(since))
    }

    /// The moment from which nothing is needed that reads requests: as [`Self::idle_since`], but `None` while
    /// the connection lingers.
    pub(super) fn parkable_since(&self) -> Option<u64> {
        let closing = self.closing.load(Ordering::Acquire);
        self.idle_since().filter(|_| !closing)
    }

    /// The moment from which the connection has been idle. The client has taken everything then.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let since = self.idle.load(Ordering::Acquire);
        (since > 0 && !self.is_stalled()).then_some(since)
    }

    /// Whether it was accepted although all slots were taken, so that it may only ask for health and metrics.
    pub(super) const fn is_over_limit(&self) -> bool {
        self.over_limit
    }

    /// Asks it to close: at once where it is idle, else after its answer.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        self.evict.notify_one();
    }

    /// Whether it was asked to close.
    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    /// Returns once it is asked to close.
    pub(super) async fn until_evicted(&self) {
        self.evict.notified().await;
    }

    /// Whether an evicted connection may close now without losing an answer that is owed. One over the limit,
    /// and one whose head is not whole, were only evicted because they are slow.
    pub(super) fn may_close(&self) -> bool {
        self.over_limit || !self.is_busy()
    }

    /// Whether its next answer is its last.
    pub(super) fn closes_after_answer(&self) -> bool {
        self.over_limit || self.is_evicted()
    }
}

// === impl BusyGuard ===

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
        self.0.become_idle();
    }
}

// === impl TrackedBody ===

impl<B> TrackedBody<B> {
    /// Wraps the body of an answer, during which the connection counts as busy.
    pub(super) fn new(inner: B, busy: BusyGuard) -> Self {
        Self {
            inner,
            busy: Some(busy),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
