//! A clock that is set far more often than it rings.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A clock that is set far more often than it rings, as the deadlines of a busy connection are: its timer
/// is moved only where it has to ring earlier, and once it has rung too early.
#[derive(Debug)]
pub(super) struct LazyClock {
    /// The moment at which it is ready; the timer rings then or earlier.
    due: Instant,
    timer: Pin<Box<Sleep>>,
}

// === impl LazyClock ===

impl LazyClock {
    /// A clock that is ready at `due`.
    pub(super) fn new(due: Instant) -> Self {
        Self {
            due,
            timer: Box::pin(sleep_until(due)),
        }
    }

    /// Sets it anew, for `due`.
    pub(super) fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }

    /// Ready once it is due; else the task of `cx` is woken then or earlier.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= self.due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_it_was_set_for_last() {
        const SECOND: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        let mut clock = LazyClock::new(begun + SECOND);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(clock.poll(&mut cx).is_pending());
        clock.set(begun + SECOND * 3);
        tokio::time::advance(SECOND * 2).await;
        assert!(clock.poll(&mut cx).is_pending());
        poll_fn(|cx| clock.poll(cx)).await;
        assert_eq!(begun.elapsed(), SECOND * 3);
        // It is due until it is set anew.
        assert!(clock.poll(&mut cx).is_ready());
        clock.set(begun + SECOND * 9);
        clock.set(begun + SECOND * 4);
        poll_fn(|cx| clock.poll(cx)).await;
        assert_eq!(begun.elapsed(), SECOND * 4);
    }
}
