//! What came out of a simulation.

use std::{sync::Arc, time::Duration};

use super::trace::{Request, Trace};

/// What became of every request, and what was loaded for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// In order of the trace.
    pub fates: Vec<Fate>,
    /// In order of their start.
    pub loads: Vec<Load>,
    /// How many residents went.
    pub unloads: usize,
    /// From the start of the trace to the last permit that came back.
    pub makespan: Duration,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Neither granted nor refused.
    Open,
    /// Granted.
    Served {
        /// From arrival to grant.
        wait: Duration,
        /// From grant to release.
        held: Duration,
        /// A load was part of the wait.
        loaded: bool,
    },
    /// Refused.
    Rejected {
        /// From arrival to refusal.
        after: Duration,
    },
}

/// One load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its start.
    pub at: Duration,
    /// How long.
    pub took: Duration,
    /// Engine.
    pub engine: Arc<str>,
    /// Model.
    pub model: Arc<str>,
}

/// Waits of some requests; those that were refused have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many were granted.
    pub served: usize,
    /// How many were refused, or never answered.
    pub rejected: usize,
    /// Half waited at most this long.
    pub p50: Duration,
    /// 19 of 20 waited at most this long.
    pub p95: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// The smallest value that `share` (0..=1) of them do not exceed; zero of none. `sorted` ascends.
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

// === impl Outcome ===

impl Outcome {
    pub(super) fn new(trace: &Trace) -> Self {
        Self {
            fates: vec![Fate::Open; trace.requests().len()],
            ..Self::default()
        }
    }

    pub(super) fn settle(&mut self, ticket: u64, fate: Fate) {
        let at = usize::try_from(ticket.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(slot) = self.fates.get_mut(at) {
            *slot = fate;
        }
    }

    /// How many are neither granted nor refused.
    pub(super) fn open(&self) -> usize {
        self.fates.iter().filter(|f| **f == Fate::Open).count()
    }

    /// Waits of the requests of the trace that `of` picks.
    pub fn summary(&self, trace: &Trace, of: impl Fn(&Request) -> bool) -> Summary {
        let picked = || {
            let pairs = trace.requests().iter().zip(&self.fates);
            pairs.filter(|(request, _)| of(request)).map(|(_, f)| *f)
        };
        let mut waits: Vec<Duration> = picked()
            .filter_map(|fate| match fate {
                Fate::Served { wait, .. } => Some(wait),
                _ => None,
            })
            .collect();
        waits.sort_unstable();
        Summary {
            served: waits.len(),
            rejected: picked().count() - waits.len(),
            p50: quantile(&waits, 0.5),
            p95: quantile(&waits, 0.95),
            max: waits.last().copied().unwrap_or_default(),
        }
    }

    /// Loads of one model, on whatever engine.
    pub fn loads_of(&self, model: &str) -> usize {
        self.loads.iter().filter(|l| *l.model == *model).count()
    }

    /// Time that was spent loading, all pools together.
    pub fn load_time(&self) -> Duration {
        self.loads.iter().map(|l| l.took).sum()
    }
}
