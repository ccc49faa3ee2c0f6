//! The alarm of an answer, which wakes its task when nothing comes from the engine.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crucible_router::machine::awake::LATE;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The alarm of an answer: it wakes the task of the body at a moment, and when Crucible has to end.
///
/// Frames come far more often than it rings, and each moves the moment later. So the timer is moved only
/// to ring earlier, or once it has rung; until then the body has nothing to look at.
pub(super) struct Alarm {
    /// The moment at which the timer rings; nothing is due before.
    at: Instant,
    timer: Pin<Box<Sleep>>,
    ending: CancellationToken,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The task that both wake; `None` before it has waited.
    task: Option<Waker>,
    /// Whether something may be due before `at`.
    earlier: bool,
}

// === impl Alarm ===

impl Alarm {
    /// Sets the alarm for `at` and for the cancellation of `ending`. It wakes nobody before it is polled.
    pub(super) fn new(at: Instant, ending: CancellationToken) -> Self {
        Self {
            at,
            timer: Box::pin(sleep_until(at)),
            cancelled: Box::pin(ending.clone().cancelled_owned()),
            ending,
            task: None,
            earlier: false,
        }
    }

    /// Returns the moment for which it is set.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Notes that something may be due before the moment for which it is set.
    pub(super) fn may_be_earlier(&mut self) {
        self.earlier = true;
    }

    /// Notes that it was not heard for `pause` since `from` because the client did not read, so that this
    /// is no pause of the process.
    pub(super) fn excuse(&mut self, from: Instant, pause: Duration) {
        if pause >= LATE {
            self.at = self.at.max(from + pause);
        }
    }

    /// Whether it should have rung long before `now`: the process did not run meanwhile.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= LATE
    }

    /// Ready when Crucible has to end; else the task of `cx` is woken then.
    pub(super) fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.wakes(cx) {
            return self.cancelled.as_mut().poll(cx);
        }
        if self.ending.is_cancelled() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whether nothing is due at `now` and the task of `cx` is woken when that changes.
    pub(super) fn rests(&self, now: Instant, cx: &Context<'_>) -> bool {
        now < self.at && !self.earlier && self.wakes(cx)
    }

    /// Sets it for `at`, unless it rings earlier anyway: pending until it rings.
    pub(super) fn poll_until(
        &mut self,
        at: Instant,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.earlier = false;
        let moves = at < self.at || self.at <= now;
        if moves {
            self.at = at;
            self.timer.as_mut().reset(at);
        }
        if !moves && self.wakes(cx) {
            return Poll::Pending;
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            self.task = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.at = now;
        Poll::Ready(())
    }

    /// Whether timer and cancellation wake the task of `cx`.
    fn wakes(&self, cx: &Context<'_>) -> bool {
        self.task.as_ref().is_some_and(|t| t.will_wake(cx.waker()))
    }
}
