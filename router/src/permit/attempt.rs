//! One request on its way to an engine: who asks, and how that goes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    client::ClientId,
    health::{BreakerPass, RequestOutcome},
    plan::Candidate,
};

/// Receives the outcomes of requests, for the health of engines.
pub(crate) trait OutcomeReceiver: Send + Sync {
    /// Takes one outcome. `began` says whether the answer had begun before it.
    fn outcome(self: Arc<Self>, attempt: &EngineAttempt, outcome: RequestOutcome, began: bool);
}

/// One request to an engine, which reports how it goes.
///
/// Dropped without a report, the request came to nothing; where it was the probe of a half-open breaker,
/// another one may pass then.
pub struct EngineAttempt {
    outcomes: Arc<dyn OutcomeReceiver>,
    /// The name of the engine that the request goes to.
    pub(crate) engine: Arc<str>,
    /// The model that is asked, under the engine's name for it.
    pub(crate) model: Arc<str>,
    /// The client that asks.
    pub(crate) client: ClientId,
    /// The state in which the circuit breaker let the request pass.
    pub(crate) pass: BreakerPass,
    /// The number of the request with the scheduler; zero until its permit is granted.
    pub(crate) ticket: u64,
    began: AtomicBool,
    ended: AtomicBool,
}

// === impl EngineAttempt ===

impl EngineAttempt {
    /// Begins the report of a request to `candidate` that has not been sent yet; `outcomes` takes
    /// its outcomes.
    pub(crate) fn new(
        outcomes: Arc<dyn OutcomeReceiver>,
        candidate: &Candidate,
        client: ClientId,
        pass: BreakerPass,
    ) -> Self {
        Self {
            outcomes,
            engine: Arc::clone(&candidate.engine),
            model: Arc::clone(&candidate.model),
            client,
            pass,
            ticket: 0,
            began: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Reports whether it is the probe that a half-open breaker lets through.
    pub(crate) fn probes(&self) -> bool {
        self.pass != BreakerPass::Closed
    }

    /// Reports how the request goes. After its end nothing more counts, and its beginning counts once.
    pub fn report(&self, outcome: RequestOutcome) {
        let (began, said) = match outcome {
            RequestOutcome::Began => {
                let began = self.began.swap(true, Ordering::Relaxed);
                (false, began || self.ended.load(Ordering::Relaxed))
            }
            _ => (
                self.began.load(Ordering::Relaxed),
                self.ended.swap(true, Ordering::Relaxed),
            ),
        };
        if said {
            return;
        }
        Arc::clone(&self.outcomes).outcome(self, outcome, began);
    }
}

impl Drop for EngineAttempt {
    fn drop(&mut self) {
        self.report(RequestOutcome::Abandoned);
    }
}
