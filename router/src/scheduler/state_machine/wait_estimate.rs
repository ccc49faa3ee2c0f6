//! Estimates of waits, for `Retry-After` and for refusing at once what would wait too long.
//!
//! The estimate is: rest of the operation in flight + loads before it + its own load + position x
//! mean answer / permits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{pool_operation::OperationKind, state::Scheduler};
use crate::catalog::ModelKind;

/// The time of an answer where none was measured yet.
const UNMEASURED: Duration = Duration::from_secs(5);
/// The time of a load where none was measured yet.
pub(super) const UNMEASURED_LOAD: Duration = Duration::from_secs(10);

/// The estimate of a wait for a permit.
pub(super) struct WaitEstimate {
    /// The time from now to the grant.
    pub(super) expected: Duration,
    /// Whether it rests on measurements alone.
    pub(super) measured: bool,
}

/// The seconds for `Retry-After`: whole ones, rounded up, from 1 to 60, because SDKs ignore larger
/// ones.
pub(super) fn retry_after(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(up).clamp(1, 60)
}

// === impl Scheduler ===

impl Scheduler {
    /// The time that a load of that model takes, where it was measured in this run or an earlier
    /// one.
    pub(super) fn load_time(&self, engine: &Arc<str>, model: &Arc<str>) -> Option<Duration> {
        let key = (Arc::clone(engine), Arc::clone(model));
        let earlier = || self.facts(engine)?.load_times.get(model).copied();
        self.load_times.get(&key).copied().or_else(earlier)
    }

    /// The estimate for the request at this position of its lane (1 is the next one).
    pub(super) fn expected_wait(
        &self,
        at: usize,
        model: Option<&Arc<str>>,
        kind: ModelKind,
        position: usize,
        now: Instant,
    ) -> WaitEstimate {
        let state = &self.engines[at];
        let facts = &state.facts;
        let (mean, samples) = state.service_time;
        let mean = match samples {
            0 => facts.service_time.unwrap_or(UNMEASURED),
            _ => mean,
        };
        let permits = match kind {
            ModelKind::Generation => facts.permits_per_resident.max(1),
            ModelKind::Embedding => 1,
        };
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let mut expected = mean.saturating_mul(position) / permits;
        let mut measured = true;
        let held = |m: &str| state.residents.iter().any(|r| *r.info.model == *m);
        if let Some(model) = model
            && facts.load_control
            && !held(model)
        {
            let mut add = |model: &Arc<str>| {
                let known = self.load_time(&facts.name, model);
                measured &= known.is_some();
                let time = known.unwrap_or(UNMEASURED_LOAD);
                expected = expected.saturating_add(time);
            };
            let mut loading = None;
            if let Some(operation) = self.operations.get(&facts.pool) {
                loading =
                    matches!(operation.kind, OperationKind::Load(_)).then_some(&operation.model);
                add(&operation.model);
            }
            let before = state.queues.iter().map(|l| &l.model);
            for other in before.filter(|m| Some(*m) != loading && !held(m)) {
                add(other);
            }
            if let Some(operation) = self.operations.get(&facts.pool) {
                let gone = now.saturating_duration_since(operation.started);
                expected = expected.saturating_sub(gone);
            }
        }
        WaitEstimate { expected, measured }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whole seconds that SDKs obey, and no request comes back before its turn is expected.
        #[test]
        fn who_is_told_to_wait_is_told_whole_seconds_of_at_least_that_and_at_most_a_minute(
            secs in prop_oneof![0..70_u64, any::<u64>()],
            nanos in 0..1_000_000_000_u32,
        ) {
            let wait = Duration::new(secs, nanos);
            let told = retry_after(wait);
            prop_assert!((1..=60).contains(&told), "{told}");
            let seconds = Duration::from_secs(told);
            prop_assert!(seconds >= wait || told == 60, "{told} for {wait:?}");
            let more = seconds.saturating_sub(wait);
            prop_assert!(more < Duration::from_secs(1) || told == 1, "{told} for {wait:?}");
        }
    }
}
