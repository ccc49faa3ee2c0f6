//! Waiting for a permit, and the attempt that comes with it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{RouterHandle, RouterState, permit_request::permit_request};
use crate::{
    demand::Demand,
    event::LoadTrigger,
    health::{BreakerPass, RequestOutcome},
    permit::{EngineAttempt, OutcomeReceiver, Permit, PermitNote, Releases},
    plan::Candidate,
    refusal::Refusal,
    scheduler::{PermitAnswer, PermitRequest},
    view::Cooldown,
};

/// Takes a waiting request back when its future is dropped.
struct CancelOnDrop {
    releases: Arc<Releases>,
    ticket: Option<u64>,
}

// === impl CancelOnDrop ===

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.releases.push(PermitNote::Cancelled(ticket));
        }
    }
}

// === impl RouterHandle ===

impl RouterHandle {
    /// Waits for a permit to use a candidate; dropping the future takes the request back.
    pub async fn acquire(&self, candidate: &Candidate, demand: &Demand) -> Result<Permit, Refusal> {
        let wait = (self.0.config)().timeouts.queue;
        self.admit(candidate, demand, wait)?;
        self.wait_for(candidate, demand, LoadTrigger::Request, wait)
            .await
    }

    /// Waits for a permit and begins the attempt.
    pub(super) async fn wait_for(
        &self,
        candidate: &Candidate,
        demand: &Demand,
        trigger: LoadTrigger,
        wait: Duration,
    ) -> Result<Permit, Refusal> {
        let mut request = self.permit_request(candidate, demand)?;
        let mut attempt = self.pass(candidate, demand)?;
        request.trigger = trigger;
        let mut permit = self.queue(request, wait).await?;
        // The engine may have begun to be left alone meanwhile.
        if !attempt.probes() && self.0.breaks(&candidate.engine) {
            attempt = self.pass(candidate, demand)?;
        }
        attempt.ticket = permit.ticket;
        permit.attempt = Some(attempt);
        Ok(permit)
    }

    /// Computes what a request asks of the scheduler.
    pub(super) fn permit_request(
        &self,
        candidate: &Candidate,
        demand: &Demand,
    ) -> Result<PermitRequest, Refusal> {
        let config = (self.0.config)();
        let fleet = self.0.fleet.view();
        let mut engines = fleet.engines.iter();
        let engine = engines.find(|e| e.config.name == candidate.engine);
        let engine = engine.ok_or_else(|| gone(candidate, demand))?;
        let learned = self.0.predictor.current();
        Ok(permit_request(&config, engine, &learned, candidate, demand))
    }

    /// Begins an attempt at that engine, unless its breaker lets nobody through.
    fn pass(&self, candidate: &Candidate, demand: &Demand) -> Result<EngineAttempt, Refusal> {
        let attempt =
            |pass| EngineAttempt::new(self.0.clone(), candidate, demand.client.clone(), pass);
        if !self.0.breaks(&candidate.engine) {
            return Ok(attempt(BreakerPass::Closed));
        }
        match self.0.fleet.try_pass(&candidate.engine, &demand.client) {
            None => Err(gone(candidate, demand)),
            Some(Ok(pass)) => Ok(attempt(pass)),
            Some(Err(left_alone)) => Err(spared(candidate, demand, left_alone)),
        }
    }

    /// Waits in the queue for a permit; dropping the future takes the request back.
    pub(super) async fn queue(
        &self,
        mut request: PermitRequest,
        wait: Duration,
    ) -> Result<Permit, Refusal> {
        let ticket = self.0.tickets.fetch_add(1, Ordering::Relaxed);
        request.ticket = ticket;
        request.deadline = tokio::time::Instant::now().into_std() + wait;
        let mut cancel = CancelOnDrop {
            releases: Arc::clone(self.0.scheduler.releases()),
            ticket: Some(ticket),
        };
        let answer = match self.0.scheduler.request_permit(request) {
            PermitAnswer::Now(answer) => answer,
            PermitAnswer::Later(answer) => answer.await.unwrap_or(Err(Refusal::Draining)),
        };
        cancel.ticket = None;
        answer
    }
}

// === impl RouterState ===

impl OutcomeReceiver for RouterState {
    fn outcome(self: Arc<Self>, attempt: &EngineAttempt, outcome: RequestOutcome, began: bool) {
        let who = (&attempt.client, attempt.pass);
        if let Some(number) = self.fleet.report(&attempt.engine, who, outcome, began) {
            RouterHandle(self).probe_itself(attempt, number);
        }
    }
}

/// Refuses a request whose engine has gone since the plan.
fn gone(candidate: &Candidate, demand: &Demand) -> Refusal {
    Refusal::NoEngine {
        model: demand.model.clone(),
        detail: format!("'{}' is no longer there", candidate.engine),
        retry_after: 5,
    }
}

/// Refuses a request whose engine is left alone for a while.
fn spared(candidate: &Candidate, demand: &Demand, left_alone: Cooldown) -> Refusal {
    let why = if left_alone.engine_asked {
        "asked to be left alone for a while (429)"
    } else {
        "fails its requests and is left alone for a while"
    };
    Refusal::NoEngine {
        model: demand.model.clone(),
        detail: format!("'{}' {why}", candidate.engine),
        retry_after: left_alone.retry_after(),
    }
}
