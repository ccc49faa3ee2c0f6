//! Polls that a caller asks for and waits for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use super::{EngineHandle, EngineStatus, Fleet, FleetView};
use crate::view::Health;

/// The outcome of a poll that a caller waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// The engine answered, and its lists are in the snapshot.
    Well,
    /// The poll failed; the error is in words.
    Failed(String),
    /// The engine did not answer in time, or there is no such engine.
    Unanswered,
}

/// A question to all engines at once: the number of the poll of each that answers it.
pub(crate) struct AskedAll {
    polls: Vec<(Arc<EngineHandle>, u64)>,
    /// The number of the search that answers it, where engines are searched for.
    looks: Option<u64>,
}

// === impl AskedAll ===

impl AskedAll {
    /// Whether every engine has answered or failed since the question.
    pub(crate) fn is_answered(&self, view: &FleetView) -> bool {
        let told = |(handle, wanted): &(Arc<EngineHandle>, u64)| {
            let mut engines = view.engines.iter();
            let found = engines.find(|e| e.config.name == handle.config.name);
            // One that comes back is up after a second answer, which follows soon.
            let returns = |e: &EngineStatus| e.health == Health::Down && e.error.is_none();
            found.is_none_or(|engine| engine.polls >= *wanted && !returns(engine))
        };
        view.settled
            && self.looks.is_none_or(|wanted| view.looks >= wanted)
            && self.polls.iter().all(told)
    }
}

// === impl Fleet ===

impl Fleet {
    /// Polls an engine now and waits for its answer, at most `budget`. Only a poll that begins
    /// after this call counts, because one in flight may have been answered before the event that
    /// made the caller ask.
    pub async fn poll_now(&self, name: &str, budget: Duration) -> PollOutcome {
        let Some(handle) = self.handle(name) else {
            return PollOutcome::Unanswered;
        };
        let mut changed = self.subscribe();
        let wanted = handle.begun.load(Ordering::SeqCst) + 1;
        handle.poke.notify_one();
        let answered = async {
            loop {
                let view = self.view();
                let engine = view.engines.iter().find(|e| &*e.config.name == name);
                let Some(engine) = engine else {
                    return PollOutcome::Unanswered;
                };
                if engine.polls >= wanted {
                    return match &engine.error {
                        Some(error) => PollOutcome::Failed(error.clone()),
                        None => PollOutcome::Well,
                    };
                }
                if changed.changed().await.is_err() {
                    return PollOutcome::Unanswered;
                }
            }
        };
        timeout(budget, answered)
            .await
            .unwrap_or(PollOutcome::Unanswered)
    }

    /// Polls every engine soon, as [`Self::doubt`] does, and searches for engines where none was
    /// found. However often this is called, each is asked twice a second at most.
    pub(crate) fn ask_all(&self) -> AskedAll {
        let state = self.shared.lock();
        let polls = state.entries.iter().map(|entry| {
            let handle = Arc::clone(&entry.handle);
            let wanted = handle.begun.load(Ordering::SeqCst) + 1;
            handle.anew.store(true, Ordering::SeqCst);
            handle.doubted.notify_one();
            (handle, wanted)
        });
        let search = state.search.as_ref().filter(|_| state.entries.is_empty());
        let looks = search.map(|search| {
            search.wanted.notify_one();
            search.begun.load(Ordering::SeqCst) + 1
        });
        AskedAll {
            polls: polls.collect(),
            looks,
        }
    }

    /// Polls an engine at once, or at the end of the 0.5 s since its last poll of this kind. However many
    /// requests fail, they do not make it busy with polls.
    pub fn doubt(&self, name: &str) {
        if let Some(handle) = self.handle(name) {
            handle.doubted.notify_one();
        }
    }
}
