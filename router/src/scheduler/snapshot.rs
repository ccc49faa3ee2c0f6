//! The scheduler's part of the published view.

use std::{sync::Arc, time::Instant};

use super::state::{Scheduler, Work};
use crate::{
    catalog::ModelKind,
    view::{EngineView, LoadingView, QueuedView, ResidentView},
};

// === impl Scheduler ===

impl Scheduler {
    /// Adds queue, permits, residents and loads of one engine.
    pub(crate) fn describe(&self, view: &mut EngineView, now: Instant) {
        let Some(state) = self.engines.get(&view.name) else {
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
        view.queued = u32::try_from(state.queue.len()).unwrap_or(u32::MAX);
        view.active = state.residents.iter().map(|r| r.active).sum();
        view.loading = self
            .operation_of(&view.name)
            .filter(|o| matches!(o.work, Work::Load(_)))
            .map(|o| LoadingView {
                model: Arc::clone(&o.model),
                since: now.saturating_duration_since(o.since),
                expected: self
                    .load_times
                    .get(&(Arc::clone(&o.engine), Arc::clone(&o.model)))
                    .copied(),
            });
    }

    /// All who wait, engine by engine, in order.
    pub(crate) fn waiting(&self, now: Instant) -> Vec<QueuedView> {
        let mut all = Vec::new();
        for (name, state) in &self.engines {
            let operation = self.operation_of(name);
            let mut positions = [0_u32; 2];
            for waiter in &state.queue {
                let arrival = &waiter.arrival;
                let lane = usize::from(arrival.kind == ModelKind::Embedding);
                positions[lane] += 1;
                let place = (Arc::clone(name), Arc::clone(&arrival.model));
                let mark = self.marks.get(&place).copied().unwrap_or_default();
                let standing = state.stands(arrival, operation, mark, now);
                all.push(QueuedView {
                    request_id: Arc::clone(&arrival.request_id),
                    engine: place.0,
                    model: place.1,
                    position: positions[lane],
                    waiting: now.saturating_duration_since(waiter.since),
                    reason: standing.reason(),
                });
            }
        }
        all
    }
}
