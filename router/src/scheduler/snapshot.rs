//! The scheduler's part of the published view.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    line::{Line, Waiter},
    standing::Scope,
    state::{Scheduler, Work, lane},
};
use crate::view::{EngineView, LoadingView, QueuedView, ResidentView};

// === impl Scheduler ===

impl Scheduler {
    /// Adds queue, permits, residents and loads of one engine.
    pub(crate) fn describe(&self, view: &mut EngineView, now: Instant) {
        let Some(state) = self.engine(&view.name) else {
            return;
        };
        let residents = state.residents.iter().filter(|r| !r.assumed);
        view.residents = residents
            .map(|r| ResidentView {
                info: r.info.clone(),
                tuple: r.tuple,
                active: r.active,
                idle: match r.active {
                    0 => now.saturating_duration_since(r.idle_since),
                    _ => std::time::Duration::ZERO,
                },
                pinned: r.pinned,
                owned: r.tuple.is_some(),
            })
            .collect();
        let queued: usize = state.waiting.iter().sum();
        view.queued = u32::try_from(queued).unwrap_or(u32::MAX);
        view.wedged |= state.wedged;
        view.budget = self.budget_now(Scope::Pool, &state.facts);
        view.others = self.held_by_others(&state.facts);
        view.used = state.held();
        view.peak = self
            .peaks
            .get(&state.facts.pool)
            .copied()
            .unwrap_or_default();
        view.ttl = state.facts.ttl;
        view.active = state.residents.iter().map(|r| r.active).sum();
        view.loading = self
            .operation_of(&view.name)
            .filter(|o| matches!(o.work, Work::Load(_)))
            .map(|o| LoadingView {
                model: match &o.work {
                    Work::Load(order) => Arc::clone(&order.name),
                    Work::Unload { .. } => Arc::clone(&o.model),
                },
                since: now.saturating_duration_since(o.since),
                expected: self.load_time(&o.engine, &o.model),
            });
    }

    /// Keeps the most that the models of each pool took.
    pub(super) fn note_peaks(&mut self) {
        let mut used: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        for state in &self.engines {
            let held = state.residents.iter().map(|r| r.bytes);
            let sum = used.entry(&state.facts.pool).or_default();
            *sum = held.fold(*sum, u64::saturating_add);
        }
        for (pool, bytes) in used {
            match self.peaks.get_mut(pool) {
                Some(peak) => *peak = bytes.max(*peak),
                None => {
                    self.peaks.insert(Arc::clone(pool), bytes);
                }
            }
        }
    }

    /// All who wait, engine by engine, in order of arrival.
    pub(crate) fn waiting(&self, now: Instant) -> Vec<QueuedView> {
        let mut all = Vec::with_capacity(self.seats.len());
        for state in &self.engines {
            let mut waiters: Vec<(&Line, &Waiter)> = Vec::new();
            for line in &state.lines {
                waiters.extend(line.waiters().map(|w| (line, w)));
            }
            waiters.sort_unstable_by_key(|(_, w)| w.arrival.ticket);
            let mut positions = [0_u32; 2];
            for (line, waiter) in waiters {
                let arrival = &waiter.arrival;
                let position = &mut positions[lane(arrival.kind)];
                *position += 1;
                all.push(QueuedView {
                    request_id: Arc::clone(&arrival.request_id),
                    client: arrival.client.clone(),
                    engine: Arc::clone(&arrival.engine),
                    model: Arc::clone(&arrival.name),
                    position: *position,
                    waiting: now.saturating_duration_since(waiter.since),
                    reason: self.stands(state, line, arrival, now).reason(),
                });
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        plan::fixture::engine,
        scheduler::tests::{Bench, GB, SECOND, facts, info},
    };
    use crucible_config::checked::Device;

    #[test]
    fn the_most_that_a_pool_held_is_kept_and_the_clock_is_told() {
        let mut fleet = vec![facts("e", "cpu"), facts("f", "cpu"), facts("g", "gpu")];
        fleet[0].ttl = Some(SECOND * 300);
        let mut bench = Bench::new(fleet);
        let mut big = info("a", 4096);
        big.bytes = Some(3 * GB);
        bench.polled("e", &[big.clone()]);
        bench.polled("f", &[big]);
        bench.polled("e", &[]);
        let told = |name| {
            let mut view = engine(name, Device::Cpu, &[]);
            bench.core.describe(&mut view, bench.now);
            (view.used, view.peak, view.ttl)
        };
        assert_eq!(told("e"), (0, 6 * GB, Some(SECOND * 300)));
        assert_eq!(told("f"), (3 * GB, 6 * GB, None));
        assert_eq!(told("g"), (0, 0, None));
    }
}
