//! The observer of a relayed answer: it writes into the record of its request, into the metrics and
//! to the engine's health.

use std::sync::Arc;

use crucible_documents::state::PrefillSource;
use crucible_router::{handle::RouterHandle, health::RequestOutcome, permit::EngineAttempt};
use tokio::time::Instant;
use tracing::{Span, debug_span};

use super::{
    context_length,
    engine_answer::{attempt_outcome, report},
    prompt_watch,
    slot_look::SlotLook,
};
use crate::{
    error::{AbortCause, Error},
    metrics::{Metrics, StreamClock},
    relay::body::{End, Watch},
    request::{ActiveRequest, PromptReading, RequestPhase},
    state::AppState,
    usage::{PromptProgress, Usage},
};

/// The observer of one relayed answer, which writes into the record of its request, the metrics and
/// the engine's health.
pub(super) struct StreamRecord {
    active: Arc<ActiveRequest>,
    attempt: Option<Arc<EngineAttempt>>,
    router: RouterHandle,
    failed: bool,
    metrics: Metrics,
    engine: Arc<str>,
    clock: StreamClock,
    bytes: u64,
    flushes: u64,
    /// The engine's answer has ended; what is left of it may still be written.
    over: bool,
    slot_look: Option<SlotLook>,
    /// Open until the answer has ended; never entered, because chunks are many.
    _phase: Span,
}

// === impl StreamRecord ===

impl StreamRecord {
    /// Makes the observer of one answer of `engine`. `attempt` reports the outcome to the engine's
    /// health; without one nothing is reported.
    pub(super) fn new(
        app: &AppState,
        active: &Arc<ActiveRequest>,
        engine: &Arc<str>,
        attempt: Option<Arc<EngineAttempt>>,
    ) -> Self {
        Self {
            active: Arc::clone(active),
            attempt,
            router: app.router.clone(),
            failed: false,
            metrics: app.metrics.clone(),
            engine: Arc::clone(engine),
            clock: app.metrics.stream_clock(engine),
            bytes: 0,
            flushes: 0,
            over: false,
            slot_look: None,
            _phase: debug_span!(parent: &active.span, "relay"),
        }
    }

    /// Sets the reader of the engine's slots that is told when the first token comes.
    pub(super) fn looking_at_slots(mut self, look: Option<SlotLook>) -> Self {
        self.slot_look = look;
        self
    }

    fn report(&self, outcome: RequestOutcome) {
        report(self.attempt.as_deref(), outcome);
    }
}

impl Watch for StreamRecord {
    fn began(&mut self) {
        self.report(RequestOutcome::Began);
    }

    fn prompt(&mut self, progress: PromptProgress, now: Instant) {
        prompt_watch::note(&self.active, progress, PrefillSource::Engine, now);
    }

    fn reading(&self) -> Option<PromptReading> {
        self.active.note(|record| record.reading)
    }

    fn content(&mut self, n: u32, now: Instant) {
        if self.clock.first().is_none() {
            self.active.note(|record| {
                record.first_token_at = Some(now);
                record.phase = RequestPhase::Stream;
            });
            if let Some(look) = &self.slot_look {
                look.token_came();
            }
        }
        self.clock.content(now.into_std());
        self.active.add_tokens(n);
    }

    fn usage(&mut self, usage: Usage) {
        self.active.note(|record| record.usage = Some(usage));
    }

    fn called_tools(&mut self) {
        self.active.note(|record| record.called_tools = true);
    }

    fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.flushes += 1;
        if self.over {
            let (bytes, flushes) = (self.bytes, self.flushes);
            self.active.note(|record| {
                record.stream_bytes = bytes;
                record.stream_flushes = flushes;
            });
        }
    }

    fn worded(&self, error: Error) -> Error {
        context_length::worded(&self.active, error)
    }

    fn failed(&mut self, error: &Error) {
        if std::mem::replace(&mut self.failed, true) {
            return;
        }
        if let Some(failure) = error.upstream_failure() {
            self.metrics.upstream_error(&self.engine, failure);
        }
        self.report(attempt_outcome(error));
        self.router.doubt(&self.engine);
    }

    fn ended(&mut self, end: End) {
        self.report(match end {
            End::Complete => RequestOutcome::Answered,
            // What went wrong was reported before; the first word counts.
            End::Failed(_) | End::ClientGone => RequestOutcome::Abandoned,
        });
        self.over = true;
        let span = self.clock.span();
        let (bytes, flushes) = (self.bytes, self.flushes);
        self.active.note(|record| {
            record.output_time = span;
            record.stream_bytes = bytes;
            record.stream_flushes = flushes;
            match end {
                End::Complete => record.answered_at = Some(Instant::now()),
                End::Failed(kind) => {
                    record.error = Some(kind);
                }
                End::ClientGone => record.abort = Some(AbortCause::ClientGone),
            }
        });
    }
}
