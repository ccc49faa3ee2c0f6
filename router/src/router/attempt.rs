//! One request on its way to an engine: who asks, and how that goes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Router;
use crate::{
    client::ClientId,
    health::{Outcome, Pass},
    plan::Candidate,
};

/// Told how a request to an engine goes; dropped without that, the request came to nothing, and
/// where it was the probe of a half-open breaker another may pass.
pub struct Attempt {
    router: Router,
    engine: Arc<str>,
    model: Arc<str>,
    client: ClientId,
    pass: Pass,
    began: AtomicBool,
    ended: AtomicBool,
}

// === impl Attempt ===

impl Attempt {
    pub(super) fn new(router: Router, candidate: &Candidate, client: ClientId, pass: Pass) -> Self {
        Self {
            router,
            engine: Arc::clone(&candidate.engine),
            model: Arc::clone(&candidate.model),
            client,
            pass,
            began: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// It is the one that a half-open breaker lets through.
    pub(super) fn probes(&self) -> bool {
        self.pass != Pass::Free
    }

    /// How the request goes; after its end nothing more counts.
    pub fn report(&self, outcome: Outcome) {
        let (began, said) = match outcome {
            Outcome::Began => {
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
        let (fleet, who) = (&self.router.0.fleet, (&self.client, self.pass));
        if let Some(number) = fleet.report(&self.engine, who, outcome, began) {
            self.router.probe_itself(&self.engine, &self.model, number);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.report(Outcome::Abandoned);
    }
}
