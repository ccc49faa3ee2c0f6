//! The look at the slots of an engine whose answers do not say how much of a prompt it had in its cache.
//!
//! It runs beside the answer and delays nothing. A slot has its counts only while it answers: it is read
//! when the first token has come, and now and then while an answer may be a tool call, of which nothing
//! comes before it is whole.

use std::{sync::Arc, time::Duration};

use crucible_router::handle::RouterHandle;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::usage::SlotReadings;

/// The time from sending to the first look at an answer that may be a tool call, and the factor by which
/// the time grows from look to look.
const FIRST: Duration = Duration::from_millis(300);
const GROWTH: u32 = 2;
/// The most looks of one answer.
const MOST: u32 = 8;

/// The task that looks; dropping this ends it, after a look that has begun.
#[derive(Debug)]
pub(super) struct SlotLook {
    token_came: Arc<Notify>,
    _ends: DropGuard,
}

// === impl SlotLook ===

impl SlotLook {
    /// Begins when a request has been sent to this engine.
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

    /// Tells that the first token of the answer has come.
    pub(super) fn token_came(&self) {
        self.token_came.notify_one();
    }
}
