//! A poll that somebody waits for.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::timeout;

use super::Fleet;

/// How an engine answered a poll that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// It told its lists, and they are in the snapshot.
    Well,
    /// It failed, in words.
    Failed(String),
    /// It has not answered in time, or there is no such engine.
    Unanswered,
}

// === impl Fleet ===

impl Fleet {
    /// Polls an engine now and waits for its answer, at most `budget`. A poll in flight may have been
    /// answered before the caller saw what made it ask: only one that begins after this call counts.
    pub async fn poll_now(&self, name: &str, budget: Duration) -> Polled {
        let Some(handle) = self.handle(name) else {
            return Polled::Unanswered;
        };
        let mut changed = self.subscribe();
        let wanted = handle.begun.load(Ordering::SeqCst) + 1;
        handle.poke.notify_one();
        let answered = async {
            loop {
                let view = self.view();
                let engine = view.engines.iter().find(|e| &*e.config.name == name);
                let Some(engine) = engine else {
                    return Polled::Unanswered;
                };
                if engine.polls >= wanted {
                    return match &engine.error {
                        Some(error) => Polled::Failed(error.clone()),
                        None => Polled::Well,
                    };
                }
                if changed.changed().await.is_err() {
                    return Polled::Unanswered;
                }
            }
        };
        timeout(budget, answered)
            .await
            .unwrap_or(Polled::Unanswered)
    }

    /// Polls an engine soon: at once, unless it was polled a moment ago. However many requests fail,
    /// they do not make it busy with polls.
    pub fn doubt(&self, name: &str) {
        if let Some(handle) = self.handle(name) {
            handle.doubted.notify_one();
        }
    }
}
