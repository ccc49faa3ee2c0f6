//! Wake-ups between the two halves of hyper's client, which one task drives.
//!
//! hyper's connection and the body of its answer wake each other for each frame: one asks for more, the
//! other has sent some. Here both are polled by the same task, one behind the other, so such a wake-up
//! would only run the whole task once more for nothing. While they are polled it is kept back, and they
//! are polled again in place; what comes from the socket in between reaches the task as ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The rounds after which others get their turn, however much the two halves still have for each other.
const MOST_ROUNDS: usize = 4;

/// The waker that hyper's halves of one connection get instead of that of their task.
pub(super) struct HalvesWaker {
    waker: Waker,
    wakes: Arc<KeptWakes>,
}

#[derive(Default)]
struct KeptWakes {
    /// The halves are being polled, so that wake-ups are kept back.
    polled: AtomicBool,
    /// A wake-up came since the last round began.
    came: AtomicBool,
    /// The task that is woken otherwise.
    task: AtomicWaker,
}

// === impl HalvesWaker ===

impl HalvesWaker {
    /// The waker of a connection that was not polled yet.
    pub(super) fn new() -> Self {
        let wakes = Arc::new(KeptWakes::default());
        Self {
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
        }
    }

    /// Polls the halves for the task of `cx`, again where they woke each other, until they are ready or
    /// have nothing more to do.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut halves: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let wakes = &*self.wakes;
        wakes.task.register(cx.waker());
        for _ in 0..MOST_ROUNDS {
            wakes.came.store(false, Ordering::SeqCst);
            wakes.polled.store(true, Ordering::SeqCst);
            let polled = halves(&mut Context::from_waker(&self.waker));
            wakes.polled.store(false, Ordering::SeqCst);
            // Who gets something polls again before it waits. After the store above a wake-up goes to
            // the task, and one that came before it is seen here.
            if polled.is_ready() || !wakes.came.load(Ordering::SeqCst) {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// === impl KeptWakes ===

impl Wake for KeptWakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Ordering::SeqCst);
        if !self.polled.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct CountedWakes(std::sync::atomic::AtomicUsize);

    impl Wake for CountedWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn halves_that_wake_each_other_are_polled_again_in_place() {
        let task = Arc::new(CountedWakes::default());
        let waker = Waker::from(Arc::clone(&task));
        let cx = Context::from_waker(&waker);
        let count = || task.0.load(Ordering::SeqCst);
        let halves = HalvesWaker::new();
        let mut rounds = 0;
        let mut kept = None;
        let polled = halves.poll(&cx, |cx| {
            rounds += 1;
            kept = Some(cx.waker().clone());
            if rounds < 3 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!((polled, rounds, count()), (Poll::Pending, 3, 0));
        // What comes later is for the task.
        kept.unwrap().wake();
        assert_eq!(count(), 1);
        let ready = halves.poll(&cx, |cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(7)
        });
        assert_eq!((ready, count()), (Poll::Ready(7), 1));
    }

    #[test]
    fn halves_that_never_rest_leave_others_their_turn() {
        let task = Arc::new(CountedWakes::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut rounds = 0;
        let polled = HalvesWaker::new().poll(&Context::from_waker(&waker), |cx| {
            rounds += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(polled, Poll::Pending);
        assert_eq!((rounds, task.0.load(Ordering::SeqCst)), (MOST_ROUNDS, 1));
    }
}
