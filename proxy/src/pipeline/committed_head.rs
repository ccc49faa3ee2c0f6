//! The headers of a stream whose answer is not there yet (`timeouts.commit`).

use std::sync::Arc;

use crucible_config::{Config, checked::ClientKey};
use crucible_router::{demand::Demand, plan::Candidate};
use tokio::time::Instant;

use super::defaults::request_defaults;
use crate::{
    dialect::chat::ChatRequest, reply::AnswerHead, request::ActiveRequest, state::AppState,
};

/// The facts for the headers of a stream that go out before its answer. They name the candidate
/// that is tried at that moment, which is final then, and the values that are filled in for it.
pub(super) struct CommittedHead {
    /// The state of the instance.
    pub(super) app: AppState,
    /// The configuration that the request was received under.
    pub(super) config: Arc<Config>,
    /// The record of the request, which names the candidate that is tried.
    pub(super) active: Arc<ActiveRequest>,
    /// The request in the middle format.
    pub(super) chat: ChatRequest,
    /// The client's key; `None` where it has none.
    pub(super) key: Option<Arc<ClientKey>>,
    /// The best candidate of the plan, which is tried first.
    pub(super) best: Candidate,
}

// === impl CommittedHead ===

impl CommittedHead {
    /// Returns the headers, and notes the moment in the request's record: from now on no other
    /// candidate is tried.
    pub(super) fn written(self) -> AnswerHead {
        let best = self.best;
        let (candidate, notes) = self.active.note(|record| {
            record.committed_at = Some(Instant::now());
            let candidate = Candidate {
                engine: record.engine.clone().unwrap_or(best.engine),
                model: record.model.clone().unwrap_or(best.model),
                reason: record.reason.unwrap_or(best.reason),
                ..best
            };
            (candidate, record.notes.clone())
        });
        let (router, chat) = (&self.app.router, &self.chat);
        let probes = Arc::clone(&self.app.probes.read());
        let key = self.key.as_deref();
        let filled = request_defaults(router, &self.config, &probes, chat, &candidate, key);
        let context = router.context_given(&candidate, &Demand::default());
        let defaults = filled.named().map(|(name, _)| name);
        AnswerHead {
            defaults: defaults.chain(context.map(|_| "context")).collect(),
            notes,
            engine: candidate.engine,
            model: candidate.model,
            reason: candidate.reason,
        }
    }
}
