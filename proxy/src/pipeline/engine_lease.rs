//! The permit of a request while its engine works on it.

use std::{sync::Arc, time::Duration};

use crucible_router::permit::Permit;

use crate::{
    metrics::InFlightGuard,
    request::{ActiveRequest, RequestPhase},
};

/// The permit of a request that was sent. LM Studio (0.4) cannot interrupt the reading of a prompt,
/// so where its client leaves during that time, the permit comes back only when the prompt is
/// predicted to be read.
pub(super) struct EngineLease {
    permit: Option<Permit>,
    active: Arc<ActiveRequest>,
    prefill: Duration,
    _in_flight: InFlightGuard,
}

// === impl EngineLease ===

impl EngineLease {
    /// Keeps the permit of a request whose prompt is predicted to be read within `prefill`.
    pub(super) fn new(
        permit: Permit,
        active: Arc<ActiveRequest>,
        prefill: Duration,
        in_flight: InFlightGuard,
    ) -> Self {
        Self {
            permit: Some(permit),
            active,
            prefill,
            _in_flight: in_flight,
        }
    }

    /// Gives the permit back because the answer is whole; `calls` says whether it calls tools.
    pub(super) fn answered(&mut self, calls: bool) {
        self.active.note(|record| record.called_tools = calls);
        self.free();
    }

    /// Gives the permit back because the engine is done with the request.
    pub(super) fn free(&mut self) {
        if let Some(mut permit) = self.permit.take()
            && self.active.note(|record| record.called_tools)
        {
            permit.expect_next_turn();
        }
    }
}

impl Drop for EngineLease {
    fn drop(&mut self) {
        let Some(mut permit) = self.permit.take() else {
            return;
        };
        if self.active.note(|record| record.called_tools) {
            permit.expect_next_turn();
            return;
        }
        let (sent_at, reading) = self.active.note(|record| {
            (
                record.sent_at,
                record.phase == RequestPhase::Prefill && record.error.is_none(),
            )
        });
        if !permit.kind.profile().prefill_stops_on_cancel
            && reading
            && self.active.tokens() == 0
            && let Some(sent_at) = sent_at
        {
            permit.release_after(self.prefill.saturating_sub(sent_at.elapsed()));
        }
    }
}
