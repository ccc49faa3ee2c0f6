//! The reading of an engine's slots, for engines whose answers do not say how much of a prompt was
//! cached.
//!
//! It runs beside the answer and delays nothing. A slot shows its counts only while it answers: it
//! is read when the first token has come, and a few times while an answer may be a tool call, of
//! which nothing comes before it is whole.

use std::{sync::Arc, time::Duration};

use crucible_router::handle::RouterHandle;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::usage::SlotReadings;

/// The time from sending to the first reading for an answer that may be a tool call.
const FIRST: Duration = Duration::from_millis(300);
/// The factor by which the time to the next reading grows.
const GROWTH: u32 = 2;
/// The most readings during one answer.
const MOST: u32 = 8;

/// A task that reads the slots. Dropping this ends it, after a reading that has begun.
#[derive(Debug)]
pub(super) struct SlotLook {
    token_came: Arc<Notify>,
    _ends: DropGuard,
}

// === impl SlotLook ===

impl SlotLook {
    /// Starts the task for a request that was sent to `engine` just now; `readings` takes what it
    /// finds.
    pub(super) fn begin(
        router: &RouterHandle,
        engine: &Arc<str>,
        readings: Arc<SlotReadings>,
        may_call_tools: bool,
    ) -> Self {
        let (router, engine) = (router.clone(), Arc::clone(engine));
        let token_came = Arc::new(Notify::new());
        let ended = CancellationToken::new();
        let looking = Self {
            token_came: Arc::clone(&token_came),
            _ends: ended.clone().drop_guard(),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends by itself within seconds, and nothing is lost with it"
        )]
        tokio::spawn(async move {
            let mut pause = FIRST;
            for _ in 0..MOST {
                let due = async {
                    if !may_call_tools {
                        token_came.notified().await;
                        return true;
                    }
                    timeout(pause, token_came.notified()).await.is_ok()
                };
                let Some(came) = ended.run_until_cancelled(due).await else {
                    return;
                };
                readings.add(router.slot_readings(&engine).await);
                if came {
                    return;
                }
                pause = pause.saturating_mul(GROWTH);
            }
        });
        looking
    }

    /// Reports that the first token of the answer has come, which is the moment of the last
    /// reading.
    pub(super) fn token_came(&self) {
        self.token_came.notify_one();
    }
}
