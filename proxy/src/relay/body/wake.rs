//! The waker between an answer and the task that reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The waker that everything an answer waits for gets instead of that of the task, so that the answer knows
/// whether anything happened. hyper asks for more twice after each piece that it was given, which needs no
/// second look at engine and clocks.
pub(super) struct AnswerWaker {
    waker: Waker,
    wakes: Arc<AnswerWakes>,
}

#[derive(Debug)]
struct AnswerWakes {
    /// Something happened since the answer was polled last.
    woken: AtomicBool,
    task: AtomicWaker,
}

// === impl AnswerWaker ===

impl AnswerWaker {
    /// The waker of an answer that was not polled yet.
    pub(super) fn new() -> Self {
        let wakes = Arc::new(AnswerWakes {
            woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
        }
    }

    /// Returns the waker to poll the answer with for the task of `cx`, where something happened since it was
    /// polled last; else `None`, and that task is woken when it does.
    pub(super) fn woken(&self, cx: &Context<'_>) -> Option<Waker> {
        self.wakes.task.register(cx.waker());
        let woken = self.wakes.woken.swap(false, Ordering::SeqCst);
        woken.then(|| self.waker.clone())
    }

    /// Has the answer polled the next time, whatever happens until then.
    pub(super) fn stay_awake(&self) {
        self.wakes.woken.store(true, Ordering::SeqCst);
    }
}

// === impl AnswerWakes ===

impl Wake for AnswerWakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}
