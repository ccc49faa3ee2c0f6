//! A poll that somebody waits for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use super::{EngineHandle, EngineStatus, Fleet, FleetView};
use crate::view::Health;

/// How an engine answered a poll that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// It told its lists, and they are in the snapshot.
    Well,
    /// It failed, in words.
    Failed(String),
    /// It has not answered in time, or there is no such engine.
    Unanswered,
}

/// All engines, asked once more: which poll of each counts.
pub(crate) struct AskedAll {
    polls: Vec<(Arc<EngineHandle>, u64)>,
    /// The look around that counts, where engines are looked for.
    looks: Option<u64>,
}

// === impl AskedAll ===

impl AskedAll {
    /// Every engine has told, or failed to.
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
    /// Polls an engine now and waits for its answer, at most `budget`. A poll in flight may have been
    /// answered before the caller saw what made it ask: only one that begins after this call counts.
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

    /// Asks every engine for its lists soon, as [`Self::doubt`] does, and looks for engines where none
    /// was found. However often this is called, they are asked twice a second at most.
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

    /// Polls an engine soon: at once, unless it was polled a moment ago. However many requests fail,
    /// they do not make it busy with polls.
    pub fn doubt(&self, name: &str) {
        if let Some(handle) = self.handle(name) {
            handle.doubted.notify_one();
        }
    }
}
