//! What a simulated engine saw and did, in order: the evidence that tests read.
//! `GET /sim/log` is this as JSON. `order` counts over all lists, so that entries of different
//! lists can be compared; times are milliseconds since the start (tokio's clock).

mod entries;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::entries::{
    CompletionEntry, DisconnectEntry, FaultEntry, LoadEntry, LoadOutcome, LogView, Phase,
    ReloadEntry, RequestEntry, UnloadEntry,
};

/// The running log.
#[derive(Debug)]
pub(crate) struct Log {
    start: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    view: LogView,
    order: u64,
    seq: u64,
    /// Grows with each reset, so that loads begun before one do not write after it.
    epoch: u64,
}

/// A load in the log, to be ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadMark {
    order: u64,
    epoch: u64,
}

// === impl Log ===

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes under the lock and wakes who waits for a change.
    fn write<T>(&self, change: impl FnOnce(&mut State, u64, u64) -> T) -> T {
        let at_ms = self.now_ms();
        let out = {
            let mut state = self.lock();
            state.order += 1;
            let order = state.order;
            change(&mut state, order, at_ms)
        };
        self.changed.notify_waiters();
        out
    }

    pub(crate) fn view(&self) -> LogView {
        self.lock().view.clone()
    }

    pub(crate) fn reset(&self) {
        self.write(|state, _, _| {
            let old = std::mem::take(&mut state.view);
            state.epoch += 1;
            state.view.in_flight = old.in_flight;
            state.view.peak_in_flight = old.in_flight;
        });
    }

    pub(crate) async fn wait_for(&self, want: impl Fn(&LogView) -> bool) -> LogView {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let view = self.view();
            if want(&view) {
                return view;
            }
            changed.await;
        }
    }

    pub(crate) fn connection(&self) {
        self.write(|state, _, _| state.view.connections += 1);
    }

    pub(crate) fn request(&self, mut entry: RequestEntry) -> u64 {
        self.write(|state, order, at_ms| {
            state.seq += 1;
            entry.order = order;
            entry.at_ms = at_ms;
            entry.seq = state.seq;
            state.view.requests.push(entry);
            state.seq
        })
    }

    pub(crate) fn load_begins(
        &self,
        seq: u64,
        model: &str,
        instance: &str,
        tuple: Value,
        jit: bool,
    ) -> LoadMark {
        self.write(|state, order, at_ms| {
            state.view.loads.push(LoadEntry {
                order,
                seq,
                at_ms,
                ended_ms: None,
                model: model.to_owned(),
                instance: instance.to_owned(),
                tuple,
                jit,
                outcome: LoadOutcome::Running,
            });
            LoadMark {
                order,
                epoch: state.epoch,
            }
        })
    }

    pub(crate) fn load_ends(&self, mark: LoadMark, outcome: LoadOutcome) {
        self.write(|state, _, at_ms| {
            if state.epoch != mark.epoch {
                return;
            }
            if let Some(load) = state
                .view
                .loads
                .iter_mut()
                .find(|load| load.order == mark.order)
            {
                load.ended_ms = Some(at_ms);
                load.outcome = outcome;
            }
        });
    }

    pub(crate) fn unload(&self, instance: &str, cause: &str, active: u64) {
        self.write(|state, order, at_ms| {
            let entry = UnloadEntry {
                order,
                at_ms,
                instance: instance.to_owned(),
                cause: cause.to_owned(),
                active,
            };
            if cause == "evicted" {
                state.view.evictions.push(entry.clone());
            }
            state.view.unloads.push(entry);
        });
    }

    pub(crate) fn reload(&self, seq: u64, model: &str, from: Value, to: Value) {
        self.write(|state, order, at_ms| {
            let model = model.to_owned();
            state.view.reloads.push(ReloadEntry {
                order,
                seq,
                at_ms,
                model,
                from,
                to,
            });
        });
    }

    pub(crate) fn disconnect(&self, seq: u64, model: &str, phase: Phase, tokens: u64) {
        self.write(|state, order, at_ms| {
            state.view.disconnects.push(DisconnectEntry {
                order,
                seq,
                at_ms,
                model: model.to_owned(),
                phase,
                tokens,
                slot_free_ms: None,
            });
        });
    }

    pub(crate) fn slot_freed_late(&self, seq: u64) {
        self.write(|state, _, at_ms| {
            let entry = state
                .view
                .disconnects
                .iter_mut()
                .find(|entry| entry.seq == seq);
            if let Some(entry) = entry {
                entry.slot_free_ms = Some(at_ms);
            }
        });
    }

    pub(crate) fn completion(&self, mut entry: CompletionEntry) {
        self.write(|state, order, at_ms| {
            entry.order = order;
            entry.at_ms = at_ms;
            state.view.completions.push(entry);
        });
    }

    pub(crate) fn fault(&self, seq: u64, kind: &str) {
        self.write(|state, order, at_ms| {
            state.view.faults.push(FaultEntry {
                order,
                seq,
                at_ms,
                kind: kind.to_owned(),
            });
        });
    }

    pub(crate) fn enter(&self) {
        self.write(|state, _, _| {
            state.view.in_flight += 1;
            state.view.peak_in_flight = state.view.peak_in_flight.max(state.view.in_flight);
        });
    }

    pub(crate) fn leave(&self) {
        self.write(|state, _, _| state.view.in_flight = state.view.in_flight.saturating_sub(1));
    }
}
