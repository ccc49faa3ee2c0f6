//! The outcome of a simulation.

use std::{sync::Arc, time::Duration};

use super::trace::{RequestTrace, TraceRequest};

/// The fate of every request of a trace, and what was loaded for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplayOutcome {
    /// The fates in order of the trace.
    pub fates: Vec<RequestFate>,
    /// The loads in order of their start.
    pub loads: Vec<LoadRecord>,
    /// The number of residents that were unloaded.
    pub unloads: usize,
    /// The time from the start of the trace to the last permit that came back.
    pub makespan: Duration,
}

/// The fate of one replayed request: how long it waited and was served, or after how long it was
/// rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFate {
    /// The request was neither granted nor refused.
    Open,
    /// The request got its permit.
    Served {
        /// The time from arrival to grant.
        wait: Duration,
        /// The time from grant to release.
        held: Duration,
        /// Whether a load was part of the wait.
        loaded: bool,
    },
    /// The request was refused.
    Rejected {
        /// The time from arrival to refusal.
        after: Duration,
    },
}

/// One load that a replay made: the model, when it began and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRecord {
    /// The time of its start.
    pub started: Duration,
    /// The time that it took.
    pub took: Duration,
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
}

/// The waits of some requests; those that were refused have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitSummary {
    /// The number of granted requests.
    pub served: usize,
    /// The number of requests that were refused, or never answered.
    pub rejected: usize,
    /// Half of them waited at most this long.
    pub p50: Duration,
    /// 19 of 20 waited at most this long.
    pub p95: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// The smallest value that this share (0 to 1) of the sorted values do not exceed; zero where there
/// are none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count that fits memory"
)]
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

// === impl ReplayOutcome ===

impl ReplayOutcome {
    /// An outcome in which everything is open.
    pub(super) fn new(trace: &RequestTrace) -> Self {
        Self {
            fates: vec![RequestFate::Open; trace.requests().len()],
            ..Self::default()
        }
    }

    /// Notes the fate of a request.
    pub(super) fn set_fate(&mut self, ticket: u64, fate: RequestFate) {
        let at = usize::try_from(ticket.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(slot) = self.fates.get_mut(at) {
            *slot = fate;
        }
    }

    /// The number of requests that are neither granted nor refused.
    pub(super) fn open_requests(&self) -> usize {
        self.fates
            .iter()
            .filter(|f| **f == RequestFate::Open)
            .count()
    }

    /// The waits of the requests of the trace that `of` picks.
    pub fn wait_summary(
        &self,
        trace: &RequestTrace,
        of: impl Fn(&TraceRequest) -> bool,
    ) -> WaitSummary {
        let picked = || {
            let pairs = trace.requests().iter().zip(&self.fates);
            pairs.filter(|(request, _)| of(request)).map(|(_, f)| *f)
        };
        let mut waits: Vec<Duration> = picked()
            .filter_map(|fate| match fate {
                RequestFate::Served { wait, .. } => Some(wait),
                _ => None,
            })
            .collect();
        waits.sort_unstable();
        WaitSummary {
            served: waits.len(),
            rejected: picked().count() - waits.len(),
            p50: quantile(&waits, 0.5),
            p95: quantile(&waits, 0.95),
            max: waits.last().copied().unwrap_or_default(),
        }
    }

    /// The number of loads of one model, on whatever engine.
    pub fn loads_of(&self, model: &str) -> usize {
        self.loads.iter().filter(|l| *l.model == *model).count()
    }

    /// The time that was spent loading, all pools together.
    pub fn load_time(&self) -> Duration {
        self.loads.iter().map(|l| l.took).sum()
    }
}
