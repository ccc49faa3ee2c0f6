//! The wait for a permit, and the configured fallback that takes over when it is too long.

use std::pin::pin;

use crucible_router::{
    permit::Permit,
    plan::{Candidate, Reason},
};
use tokio::time::{Instant, sleep_until};

use crate::{error::Error, pipeline::planned_request::PlannedRequest};

/// A permit with the candidate that it was granted for.
pub(super) struct GrantedCandidate {
    /// The position of the candidate in the plan.
    pub(super) at: usize,
    /// The permit of that candidate.
    pub(super) permit: Permit,
}

/// Waits for a permit of the candidate at `at`. Once the wait is too long, or is predicted to be, a
/// configured fallback is asked too, and the first permit that comes is returned with its
/// candidate. Until then the request keeps its turn in the first queue.
pub(super) async fn wait_for_permit(
    planned: &PlannedRequest,
    at: usize,
) -> Result<GrantedCandidate, Error> {
    let PlannedRequest {
        app, demand, plan, ..
    } = planned;
    let candidates = &plan.candidates;
    let mut own = pin!(app.router.acquire(&candidates[at], demand));
    let mine = |permit: Permit| GrantedCandidate { at, permit };
    let Some(standby) = app.router.standby(plan, at, demand) else {
        return Ok(mine(own.await?));
    };
    // The headers of a stream name who answers: the switch must come before they are out.
    let latest = planned
        .commit_at
        .map(|at| at - planned.config.timeouts.commit / 10);
    let due = Instant::now() + standby.after;
    let due = latest.map_or(due, |latest| due.min(latest));
    tokio::select! {
        biased;
        permit = &mut own => return Ok(mine(permit?)),
        () = sleep_until(due) => {}
    }
    if planned.active.committed() {
        return Ok(mine(own.await?));
    }
    // In a box, since few requests come so far and each would keep room for it.
    let mut other = Box::pin(app.router.acquire(&candidates[standby.to], demand));
    let permit = tokio::select! {
        biased;
        permit = &mut own => return Ok(mine(permit?)),
        permit = &mut other => permit,
    };
    match permit {
        Ok(permit) if !planned.active.committed() => Ok(GrantedCandidate {
            at: standby.to,
            permit,
        }),
        // It has no place either, or comes too late.
        _ => Ok(mine(own.await?)),
    }
}

/// Returns the candidate with the reason [`Reason::Overload`].
pub(super) fn overloaded(candidate: &Candidate) -> Candidate {
    Candidate {
        reason: Reason::Overload,
        ..candidate.clone()
    }
}
