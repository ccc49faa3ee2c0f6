//! Which part of a request a connection is in, shared by its socket, its service and its place.

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
use tokio::sync::Notify;

/// What a connection does.
#[derive(Debug)]
pub(super) struct Phase {
    began: Instant,
    /// Microseconds after `began`, plus one, from which it has said nothing; 0: it speaks, or is
    /// answered.
    idle: AtomicU64,
    /// Microseconds after `began`, plus one, from which the head of a request comes; 0: none does.
    speaks: AtomicU64,
    /// Requests that came so far.
    begun: AtomicU64,
    /// The client does not take what is written.
    stalled: AtomicBool,
    /// It was given up for that.
    slow: AtomicBool,
    /// The client still sends the body of a request that was answered, or is to.
    owes: AtomicBool,
    /// It only waits for the client's end.
    closing: AtomicBool,
    /// A request is being answered. While it is not, the socket's header clock runs.
    busy: AtomicBool,
    /// Taken although all places were.
    beyond: bool,
    /// Another one has its place.
    sent_away: AtomicBool,
    leave: Notify,
}

/// Marks the request as being answered; dropped at the end of its response body.
#[derive(Debug)]
pub(super) struct Busy(Arc<Phase>);

pin_project! {
    /// A response body that tells the connection when it ends or is dropped.
    pub struct Phased<B> {
        #[pin]
        inner: B,
        busy: Option<Busy>,
    }
}

// === impl Phase ===

impl Phase {
    /// Of a new connection, which has said nothing yet.
    pub(super) fn new(began: Instant, beyond: bool) -> Self {
        let this = Self {
            began,
            idle: AtomicU64::new(0),
            speaks: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            owes: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            beyond,
            sent_away: AtomicBool::new(false),
            leave: Notify::new(),
        };
        this.fall_silent();
        this
    }

    /// A request came whole.
    pub(super) fn begin(this: &Arc<Self>) -> Busy {
        this.idle.store(0, Ordering::Release);
        this.speaks.store(0, Ordering::Release);
        this.begun.fetch_add(1, Ordering::AcqRel);
        this.busy.store(true, Ordering::Release);
        Busy(Arc::clone(this))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// How many requests came whole.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    /// Whether something is written that the client does not take.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Release);
    }

    /// Whether there is something that the client has not taken yet.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// It is given up, as it takes nothing.
    pub(super) fn give_up(&self) {
        self.slow.store(true, Ordering::Release);
    }

    /// Whether it was given up for taking nothing.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Acquire)
    }

    /// Whether there is more of the body of the present request to come.
    pub(super) fn owes(&self, more: bool) {
        self.owes.store(more, Ordering::Release);
    }

    pub(super) fn owes_body(&self) -> bool {
        self.owes.load(Ordering::Acquire)
    }

    /// Nothing more is answered.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.fall_silent();
    }

    /// The first byte of a request came.
    pub(super) fn speak(&self) {
        self.idle.store(0, Ordering::Release);
        self.speaks.store(self.moment(), Ordering::Release);
    }

    fn fall_silent(&self) {
        self.speaks.store(0, Ordering::Release);
        self.idle.store(self.moment(), Ordering::Release);
    }

    fn moment(&self) -> u64 {
        let micros = self.began.elapsed().as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// From when the head comes that is not whole yet.
    pub(super) fn speaks_since(&self) -> Option<Instant> {
        let since = self.speaks.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.began + Duration::from_micros(since))
    }

    /// From when it has nothing to read requests for: like [`Self::idle_since`], but not on its way
    /// to the end.
    pub(super) fn rests_since(&self) -> Option<u64> {
        let closing = self.closing.load(Ordering::Acquire);
        self.idle_since().filter(|_| !closing)
    }

    /// A number that grows with the time from which it has been idle.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let since = self.idle.load(Ordering::Acquire);
        (since > 0 && !self.is_stalled()).then_some(since)
    }

    /// It may only ask how Crucible is.
    pub(super) const fn is_beyond(&self) -> bool {
        self.beyond
    }

    /// It is to close: at once where it is idle, else after its answer.
    pub(super) fn send_away(&self) {
        self.sent_away.store(true, Ordering::Release);
        self.leave.notify_one();
    }

    pub(super) fn is_sent_away(&self) -> bool {
        self.sent_away.load(Ordering::Acquire)
    }

    /// Ends when it is to close.
    pub(super) async fn leaves(&self) {
        self.leave.notified().await;
    }

    /// Nothing is lost where it closes now. One beyond the bound that was sent away is slow, and so is
    /// one whose head is not whole.
    pub(super) fn may_leave(&self) -> bool {
        self.beyond || !self.is_busy()
    }

    /// Whether its next answer is its last.
    pub(super) fn ends(&self) -> bool {
        self.beyond || self.is_sent_away()
    }
}

// === impl Busy ===

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
        self.0.fall_silent();
    }
}

// === impl Phased ===

impl<B> Phased<B> {
    pub(super) fn new(inner: B, busy: Busy) -> Self {
        Self {
            inner,
            busy: Some(busy),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Phased<B> {
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
