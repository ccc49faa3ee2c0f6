//! One request's right to use one resident: a guard that lives in the response body.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crucible_config::checked::EngineKind;
use parking_lot::Mutex;
use tokio::sync::Notify;
use url::Url;

use crate::{engine::Tuple, router::Attempt};

/// What guards tell the scheduler. Never lost and never blocks: at most one per ticket.
#[derive(Default)]
pub(crate) struct Releases {
    notes: Mutex<Vec<Note>>,
    /// How many wait for what guards give back.
    awaited: AtomicUsize,
    /// A note came since they were forgotten: the next one can wait until somebody looks.
    told: AtomicBool,
    pub(crate) arrived: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Released {
        ticket: u64,
        grace: Duration,
        for_tools: bool,
    },
    Cancelled(u64),
}

/// The right to use a resident; dropping it gives it back.
pub struct Permit {
    /// Engine.
    pub engine: Arc<str>,
    /// What it speaks.
    pub kind: EngineKind,
    /// Where to send, without a path.
    pub base_url: Url,
    /// The engine's own token.
    pub token: Option<Arc<str>>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The instance to name in the request.
    pub instance: Arc<str>,
    /// Options to repeat on the request (Ollama).
    pub tuple: Tuple,
    /// Context per request in tokens, where known.
    pub context: Option<u64>,
    /// Context per request in tokens that is configured for the model, whoever asks.
    pub configured_context: u64,
    /// Context of the whole instance in tokens, where known.
    pub whole_context: Option<u64>,
    /// From asking to grant.
    pub waited: Duration,
    /// A load was part of the wait.
    pub loaded: bool,
    /// Whose request it is, to be told how that goes.
    pub(crate) attempt: Option<Attempt>,
    pub(crate) ticket: u64,
    pub(crate) grace: Duration,
    pub(crate) for_tools: bool,
    pub(crate) releases: Arc<Releases>,
}

// === impl Note ===

impl Note {
    /// A permit that nobody took.
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
    pub(crate) fn push(&self, note: Note) {
        self.notes.lock().push(note);
        let told = self.told.swap(true, Ordering::SeqCst);
        if !told || self.awaited.load(Ordering::SeqCst) > 0 {
            self.arrived.notify_one();
        }
    }

    /// So many wait: each note wakes the clock from here on, if it is not 0. A note that came before
    /// is there to be taken.
    pub(crate) fn await_by(&self, waiters: usize) {
        self.awaited.store(waiters, Ordering::SeqCst);
    }

    /// The next note wakes the clock again, whether anybody waits or not.
    pub(crate) fn forget(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    pub(crate) fn take(&self) -> Vec<Note> {
        std::mem::take(&mut self.notes.lock())
    }
}

// === impl Permit ===

impl Permit {
    /// Whoever sends the request takes it, and tells it how that went; left here, the request came
    /// to nothing.
    pub fn take_attempt(&mut self) -> Option<Attempt> {
        self.attempt.take()
    }

    /// The answer ended in tool calls: whoever asked comes back as soon as they are done.
    pub fn expect_next_turn(&mut self) {
        self.for_tools = true;
    }

    /// Gives it back once the engine is free again, `grace` from now.
    pub fn release_after(mut self, grace: Duration) {
        self.grace = grace;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.releases.push(Note::Released {
            ticket: self.ticket,
            grace: self.grace,
            for_tools: self.for_tools,
        });
    }
}
