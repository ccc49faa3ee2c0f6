//! The scheduler's part of the published view.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    limit_scope::LimitScope,
    model_key::lane_index,
    model_queue::{ModelQueue, Waiter},
    pool_operation::OperationKind,
    state::Scheduler,
};
use crate::view::{EngineView, LoadingView, QueuedView, ResidentView};

// === impl Scheduler ===

impl Scheduler {
    /// Adds queue, permits, residents and loads to the view of one engine.
    pub(crate) fn describe_engine(&self, view: &mut EngineView, now: Instant) {
        let Some(state) = self.engine(&view.name) else {
            return;
        };
        let residents = state.residents.iter().filter(|r| !r.assumed);
        view.residents = residents
            .map(|r| ResidentView {
                info: r.info.clone(),
                tuple: r.tuple,
                active: r.permits_out,
                idle: match r.permits_out {
                    0 => now.saturating_duration_since(r.idle_since),
                    _ => std::time::Duration::ZERO,
                },
                pinned: r.pinned,
                owned: r.tuple.is_some(),
            })
            .collect();
        let queued: usize = state.waiting_by_lane.iter().sum();
        view.queued = u32::try_from(queued).unwrap_or(u32::MAX);
        view.wedged |= state.wedged;
        view.budget = self.effective_budget(LimitScope::PoolMemory, &state.facts);
        view.others = self.foreign_bytes(&state.facts);
        view.used = state.held_bytes();
        view.peak = self
            .peak_bytes
            .get(&state.facts.pool)
            .copied()
            .unwrap_or_default();
        view.models_limit = u32::try_from(state.facts.max_loaded_models).ok();
        view.ttl = state.facts.model_ttl;
        view.active = state.residents.iter().map(|r| r.permits_out).sum();
        view.loading = self
            .engine_operation(&view.name)
            .filter(|o| matches!(o.kind, OperationKind::Load(_)))
            .map(|o| LoadingView {
                model: match &o.kind {
                    OperationKind::Load(order) => Arc::clone(&order.name),
                    OperationKind::Unload { .. } => Arc::clone(&o.model),
                },
                since: now.saturating_duration_since(o.started),
                expected: self.load_time(&o.engine, &o.model),
            });
    }

    /// Keeps the most bytes that the models of each pool took.
    pub(super) fn record_peak_bytes(&mut self) {
        let mut used: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        for state in &self.engines {
            let held = state.residents.iter().map(|r| r.bytes);
            let sum = used.entry(&state.facts.pool).or_default();
            *sum = held.fold(*sum, u64::saturating_add);
        }
        for (pool, bytes) in used {
            match self.peak_bytes.get_mut(pool) {
                Some(peak) => *peak = bytes.max(*peak),
                None => {
                    self.peak_bytes.insert(Arc::clone(pool), bytes);
                }
            }
        }
    }

    /// All requests that wait, engine by engine, in order of arrival.
    pub(crate) fn queue_view(&self, now: Instant) -> Vec<QueuedView> {
        let mut all = Vec::with_capacity(self.waiting_tickets.len());
        for state in &self.engines {
            let mut waiters: Vec<(&ModelQueue, &Waiter)> = Vec::new();
            for queue in &state.queues {
                waiters.extend(queue.waiters().map(|w| (queue, w)));
            }
            waiters.sort_unstable_by_key(|(_, w)| w.request.ticket);
            let mut positions = [0_u32; 2];
            for (queue, waiter) in waiters {
                let request = &waiter.request;
                let position = &mut positions[lane_index(request.kind)];
                *position += 1;
                all.push(QueuedView {
                    request_id: Arc::clone(&request.request_id),
                    client: request.client.clone(),
                    engine: Arc::clone(&request.engine),
                    model: Arc::clone(&request.name),
                    position: *position,
                    waiting: now.saturating_duration_since(waiter.arrived_at),
                    reason: self.match_resident(state, queue, request, now).reason(),
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
        scheduler::state_machine::tests::{GB, SECOND, SchedulerHarness, facts, info},
    };
    use crucible_config::checked::Device;

    #[test]
    fn the_most_that_a_pool_held_is_kept_and_the_clock_is_told() {
        let mut fleet = vec![facts("e", "cpu"), facts("f", "cpu"), facts("g", "gpu")];
        fleet[0].model_ttl = Some(SECOND * 300);
        let mut bench = SchedulerHarness::new(fleet);
        let mut big = info("a", 4096);
        big.bytes = Some(3 * GB);
        bench.polled("e", &[big.clone()]);
        bench.polled("f", &[big]);
        bench.polled("e", &[]);
        let told = |name| {
            let mut view = engine(name, Device::Cpu, &[]);
            bench.core.describe_engine(&mut view, bench.now);
            (view.used, view.peak, view.ttl)
        };
        assert_eq!(told("e"), (0, 6 * GB, Some(SECOND * 300)));
        assert_eq!(told("f"), (3 * GB, 6 * GB, None));
        assert_eq!(told("g"), (0, 0, None));
    }
}
