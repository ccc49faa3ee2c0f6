//! The prediction of the wait for a permit, before a request waits.

use std::time::Duration;

use super::RouterHandle;
use crate::{
    catalog::ModelKind,
    client::ClientId,
    demand::Demand,
    plan::{self, Candidate, Plan},
    predict,
    refusal::Refusal,
    view::View,
};

/// A candidate that may take over from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standby {
    /// The position of the candidate in the plan.
    pub to: usize,
    /// The time of waiting after which the candidate is asked too; zero where the wait is predicted
    /// to be too long.
    pub after: Duration,
}

// === impl RouterHandle ===

impl RouterHandle {
    /// Returns the candidate that takes over from the one at `at` when its wait is too long, and
    /// after which time; `None` where no fallback is configured.
    pub fn standby(&self, plan: &Plan, at: usize, demand: &Demand) -> Option<Standby> {
        let (view, config) = (self.view(), (self.0.config)());
        let to = plan::standby(&view, demand, &config, plan, at)?;
        let expected = |at: usize| {
            plan.candidates
                .get(at)
                .map(|c| expected_wait(&view, c, &demand.client))
        };
        let (own, other) = (expected(at)?, expected(to)?);
        let limit = config.scheduler.overflow_after;
        let at_once = own > limit && other < own;
        let after = if at_once { Duration::ZERO } else { limit };
        Some(Standby { to, after })
    }

    /// Refuses at once what is measured to wait longer than it may.
    pub(super) fn admit(
        &self,
        candidate: &Candidate,
        demand: &Demand,
        budget: Duration,
    ) -> Result<(), Refusal> {
        let view = self.view();
        // Embeddings have a lane of their own, and a full queue is for the scheduler to tell.
        let full = |name: &str| view.engine(name).is_some_and(|e| e.queued >= e.queue_limit);
        if demand.kind == ModelKind::Embedding || full(&candidate.engine) {
            return Ok(());
        }
        let waited = expected_wait(&view, candidate, &demand.client);
        if waited <= budget {
            return Ok(());
        }
        let over = waited.saturating_sub(budget);
        let up = u64::from(over.subsec_nanos() > 0);
        Err(Refusal::QueueTimeout {
            engine: candidate.engine.clone(),
            waited,
            retry_after: over.as_secs().saturating_add(up).clamp(1, 60),
        })
    }
}

/// Returns the wait for a permit of the candidate as far as it is measured; zero for an unknown
/// engine.
fn expected_wait(view: &View, candidate: &Candidate, client: &ClientId) -> Duration {
    view.engine(&candidate.engine)
        .map(|engine| {
            let before = view.turns_before(engine, client);
            predict::permit_wait(&view.measurements, engine, &candidate.model, before)
        })
        .unwrap_or_default()
}
