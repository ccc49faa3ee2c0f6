//! The way back from permits to the scheduler.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The notes of permits and cancelled requests to the scheduler.
///
/// A note is never lost and never blocks: there is at most one per ticket.
#[derive(Default)]
pub(crate) struct Releases {
    notes: Mutex<Vec<PermitNote>>,
    /// The number of requests that wait for what permits give back.
    awaited: AtomicUsize,
    /// Whether a note has woken the clock since it was last [armed](Self::arm), so that the next one need not.
    woken: AtomicBool,
    /// Wakes the scheduler's clock.
    pub(crate) arrived: Notify,
}

/// A note from a permit to the scheduler: it was released, or its request went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PermitNote {
    /// A permit was dropped; its slot is free after `grace`.
    Released {
        /// The ticket of its request.
        ticket: u64,
        /// The time until the engine is known to be free again.
        grace: Duration,
        /// Whether the answer ended in tool calls, so that the client comes back soon.
        for_tools: bool,
    },
    /// The request with this ticket does not wait any more.
    Cancelled(u64),
}

// === impl PermitNote ===

impl PermitNote {
    /// The note about a permit that nobody took.
    pub(crate) const fn unused(ticket: u64) -> Self {
        Self::Released {
            ticket,
            grace: Duration::ZERO,
            for_tools: false,
        }
    }
}

// === impl Releases ===

impl Releases {
    /// Adds a note and wakes the clock where that is needed.
    pub(crate) fn push(&self, note: PermitNote) {
        self.notes.lock().push(note);
        let woken = self.woken.swap(true, Ordering::SeqCst);
        if !woken || self.awaited.load(Ordering::SeqCst) > 0 {
            self.arrived.notify_one();
        }
    }

    /// Tells how many requests wait. While that is not 0, every further note wakes the clock; a note that
    /// came before can be taken.
    pub(crate) fn await_by(&self, waiters: usize) {
        self.awaited.store(waiters, Ordering::SeqCst);
    }

    /// Arms the clock: the next note wakes it, also while no request waits. The scheduler calls this before it
    /// publishes its state, so that permits which come back between two publications wake it once.
    pub(crate) fn arm(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    /// Takes all notes, in the order in which they came.
    pub(crate) fn take(&self) -> Vec<PermitNote> {
        std::mem::take(&mut self.notes.lock())
    }
}
