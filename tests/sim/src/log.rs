//! What a simulated engine saw and did, in order: the evidence that tests read.
//! `GET /sim/log` is this as JSON. `order` counts over all lists, so that entries of different
//! lists can be compared; times are milliseconds since the start (tokio's clock).

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Everything since the start or the last reset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogView {
    /// Every request but those to `/sim/`.
    pub requests: Vec<RequestEntry>,
    /// Loads, from their start; `outcome` tells how they went.
    pub loads: Vec<LoadEntry>,
    /// Residents that went, for any cause.
    pub unloads: Vec<UnloadEntry>,
    /// Residents that the engine threw out for another one (also among `unloads`).
    pub evictions: Vec<UnloadEntry>,
    /// Ollama: residents loaded again because the runner tuple differed.
    pub reloads: Vec<ReloadEntry>,
    /// Clients that left before their answer was complete.
    pub disconnects: Vec<DisconnectEntry>,
    /// Answers that were sent whole.
    pub completions: Vec<CompletionEntry>,
    /// Faults that took effect.
    pub faults: Vec<FaultEntry>,
    /// Inference requests being handled now.
    pub in_flight: u64,
    /// The most that were handled at once.
    pub peak_in_flight: u64,
    /// Connections accepted.
    pub connections: u64,
}

/// A request as it came.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// Position among all entries.
    pub order: u64,
    /// Number of the request, from 1.
    pub seq: u64,
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without `?`.
    pub query: Option<String>,
    /// Names (lower case) and values in their order.
    pub headers: Vec<(String, String)>,
    /// Body text as it came (invalid UTF-8 replaced).
    pub body: String,
    /// The body parsed, where it is JSON.
    pub json: Option<Value>,
}

/// How a load went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadOutcome {
    /// Still loading.
    Running,
    /// Resident.
    Loaded,
    /// The engine refused or failed.
    Failed,
    /// The client left and took the load with it (Ollama).
    Aborted,
}

/// A load.
#[derive(Clone, Debug, Serialize)]
pub struct LoadEntry {
    /// Position among all entries.
    pub order: u64,
    /// The request that caused it.
    pub seq: u64,
    /// When it began.
    pub at_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// The model.
    pub model: String,
    /// The instance (LM Studio: `key` or `key:2`; Ollama: the model).
    pub instance: String,
    /// The load options in effect (Ollama: the runner tuple).
    pub tuple: Value,
    /// Whether a request for an answer caused it (LM Studio: JIT).
    pub jit: bool,
    /// How it went.
    pub outcome: LoadOutcome,
}

/// A resident that went.
#[derive(Clone, Debug, Serialize)]
pub struct UnloadEntry {
    /// Position among all entries.
    pub order: u64,
    /// When.
    pub at_ms: u64,
    /// The instance.
    pub instance: String,
    /// `request`, `expired`, `evicted`, `reload`, `crash`.
    pub cause: String,
    /// Answers that it was giving (LM Studio cuts them; Ollama waits, so 0 but for a crash).
    pub active: u64,
}

/// A resident loaded again with other options (Ollama).
#[derive(Clone, Debug, Serialize)]
pub struct ReloadEntry {
    /// Position among all entries.
    pub order: u64,
    /// The request that caused it.
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// The model.
    pub model: String,
    /// The tuple before.
    pub from: Value,
    /// The tuple after.
    pub to: Value,
}

/// Where a request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for the scheduler or a slot.
    Queue,
    /// Waiting for its model.
    Load,
    /// The prompt is being read.
    Prefill,
    /// The answer is being sent.
    Stream,
}

/// A client that left.
#[derive(Clone, Debug, Serialize)]
pub struct DisconnectEntry {
    /// Position among all entries.
    pub order: u64,
    /// The request.
    pub seq: u64,
    /// When it was noticed.
    pub at_ms: u64,
    /// The model.
    pub model: String,
    /// Where the request was.
    pub phase: Phase,
    /// Tokens sent by then.
    pub tokens: u64,
    /// When the slot was free again, where that was later (LM Studio's prefill).
    pub slot_free_ms: Option<u64>,
}

/// An answer sent whole.
#[derive(Clone, Debug, Serialize)]
pub struct CompletionEntry {
    /// Position among all entries.
    pub order: u64,
    /// The request.
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// The instance that answered.
    pub instance: String,
    /// Tokens of the prompt, after truncation.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Why it ended.
    pub finish: String,
    /// What the engine really used of the request (sampling, limits, context).
    pub options: Value,
}

/// A fault that took effect.
#[derive(Clone, Debug, Serialize)]
pub struct FaultEntry {
    /// Position among all entries.
    pub order: u64,
    /// The request it hit.
    pub seq: u64,
    /// When it was taken.
    pub at_ms: u64,
    /// Its kind.
    pub kind: String,
}

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

// === impl LogView ===

impl LogView {
    /// The requests to a path.
    pub fn requests_to<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a RequestEntry> {
        self.requests
            .iter()
            .filter(move |request| request.path == path)
    }

    /// Loads that succeeded.
    pub fn loaded(&self) -> usize {
        self.loads
            .iter()
            .filter(|load| load.outcome == LoadOutcome::Loaded)
            .count()
    }
}

// === impl RequestEntry ===

impl RequestEntry {
    /// The first value of a header (name in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
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
