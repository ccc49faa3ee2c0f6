//! Wake-ups between the two halves of hyper's client, which one task drives.
//!
//! hyper's connection and the answer on it (the future of its head, then its body) wake each other for
//! each frame: one asks for more, the other has sent some. Each half has a waker of its own here, and is
//! polled only where that was called since its last poll: in place where the other half called it, so that
//! the task does not run once more for that, and in the next turn of the task where the socket did. A task
//! that polls for another reason finds both at rest and polls neither.

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

/// The wakers that hyper's halves of one connection get instead of that of their task.
pub(super) struct HalvesWaker {
    /// The waker of the connection.
    pub(super) connection: HalfWaker,
    /// The waker of the answer.
    pub(super) answer: HalfWaker,
    task: Arc<HalvesTask>,
}

/// The waker of one half.
pub(super) struct HalfWaker {
    waker: Waker,
    wakes: Arc<HalfWakes>,
}

struct HalfWakes {
    /// The half was woken since it was polled last.
    woken: AtomicBool,
    task: Arc<HalvesTask>,
}

/// The task that drives both halves.
#[derive(Default)]
struct HalvesTask {
    /// The halves are being polled, so that the task is not woken.
    polled: AtomicBool,
    waker: AtomicWaker,
}

// === impl HalvesWaker ===

impl HalvesWaker {
    /// The wakers of a connection that was not polled yet.
    pub(super) fn new() -> Self {
        let task = Arc::new(HalvesTask::default());
        Self {
            connection: HalfWaker::new(&task),
            answer: HalfWaker::new(&task),
            task,
        }
    }

    /// Runs `halves` for the task of `cx`, again where it left a half that was woken, until it is ready or
    /// both rest. It polls each half for which [`HalfWaker::woken`] returns a context, and is ready with
    /// what the answer is ready with, which is polled again after that.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut halves: impl FnMut(&Self) -> Poll<T>,
    ) -> Poll<T> {
        self.task.waker.register(cx.waker());
        for _ in 0..MOST_ROUNDS {
            self.task.polled.store(true, Ordering::SeqCst);
            let polled = halves(self);
            self.task.polled.store(false, Ordering::SeqCst);
            if polled.is_ready() {
                // What it was ready with is all that it told: it wakes nobody for the next.
                self.answer.wakes.woken.store(true, Ordering::SeqCst);
                return polled;
            }
            // After the store above a wake-up goes to the task, and one that came before it is seen here.
            if !self.connection.is_woken() && !self.answer.is_woken() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Forgets the task that polled last, and has both halves polled by the next one.
    pub(super) fn release(&self) {
        drop(self.task.waker.take());
        for half in [&self.connection, &self.answer] {
            half.wakes.woken.store(true, Ordering::SeqCst);
        }
    }
}

// === impl HalfWaker ===

impl HalfWaker {
    /// The waker of a half that was not polled yet.
    fn new(task: &Arc<HalvesTask>) -> Self {
        let wakes = Arc::new(HalfWakes {
            woken: AtomicBool::new(true),
            task: Arc::clone(task),
        });
        Self {
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
        }
    }

    /// Returns the context to poll this half with, where it was woken since it was last; else `None`, and
    /// polling it would tell nothing new.
    pub(super) fn woken(&self) -> Option<Context<'_>> {
        let woken = self.wakes.woken.swap(false, Ordering::SeqCst);
        woken.then(|| Context::from_waker(&self.waker))
    }

    fn is_woken(&self) -> bool {
        self.wakes.woken.load(Ordering::SeqCst)
    }
}

// === impl HalfWakes ===

impl Wake for HalfWakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.task.polled.load(Ordering::SeqCst) {
            self.task.waker.wake();
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

    /// The waker of a task, and the number of its wake-ups so far.
    fn task() -> (Waker, impl Fn() -> usize) {
        let counted = Arc::new(CountedWakes::default());
        let waker = Waker::from(Arc::clone(&counted));
        (waker, move || counted.0.load(Ordering::SeqCst))
    }

    #[test]
    fn a_half_that_the_other_woke_is_polled_again_in_place() {
        let (task, count) = task();
        let cx = Context::from_waker(&task);
        let halves = HalvesWaker::new();
        let mut of_connection = None;
        let mut polls = (0, 0);
        let polled = halves.poll(&cx, |halves| {
            if let Some(cx) = halves.connection.woken() {
                polls.0 += 1;
                of_connection = Some(cx.waker().clone());
            }
            if halves.answer.woken().is_some() {
                polls.1 += 1;
                // It asks the connection for more.
                of_connection.as_ref().unwrap().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!((polled, polls, count()), (Poll::Pending, (2, 1), 0));
        // What comes later is for the task.
        of_connection.unwrap().wake();
        assert_eq!(count(), 1);
    }

    #[test]
    fn halves_at_rest_are_not_polled_and_an_answer_that_was_ready_is() {
        let (task, count) = task();
        let cx = Context::from_waker(&task);
        let halves = HalvesWaker::new();
        let ready = halves.poll(&cx, |halves| {
            assert!(halves.connection.woken().is_some());
            halves
                .answer
                .woken()
                .map_or(Poll::Pending, |_| Poll::Ready(7))
        });
        assert_eq!(ready, Poll::Ready(7));
        let again = halves.poll(&cx, |halves| {
            assert!(halves.connection.woken().is_none());
            assert!(halves.answer.woken().is_some());
            Poll::<()>::Pending
        });
        let at_rest = halves.poll(&cx, |halves| {
            assert!(halves.connection.woken().is_none());
            assert!(halves.answer.woken().is_none());
            Poll::<()>::Pending
        });
        assert_eq!((again, at_rest, count()), (Poll::Pending, Poll::Pending, 0));
    }

    #[test]
    fn a_connection_that_rests_keeps_no_task() {
        let (task, count) = task();
        let halves = HalvesWaker::new();
        let mut of_connection = None;
        let _ = halves.poll(&Context::from_waker(&task), |halves| {
            let cx = halves.connection.woken();
            of_connection = of_connection.take().or(cx.map(|cx| cx.waker().clone()));
            halves.answer.woken();
            Poll::<()>::Pending
        });
        halves.release();
        of_connection.unwrap().wake();
        assert_eq!(count(), 0);
        assert!(halves.connection.is_woken() && halves.answer.is_woken());
    }

    #[test]
    fn halves_that_never_rest_leave_others_their_turn() {
        let (task, count) = task();
        let mut rounds = 0;
        let polled = HalvesWaker::new().poll(&Context::from_waker(&task), |halves| {
            rounds += 1;
            if let Some(cx) = halves.connection.woken() {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!(polled, Poll::Pending);
        assert_eq!((rounds, count()), (MOST_ROUNDS, 1));
    }
}
