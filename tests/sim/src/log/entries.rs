//! The entries of the log of a simulated engine, as `GET /sim/log` shows them.

use serde::Serialize;
use serde_json::Value;

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
    /// The number of connections that were accepted.
    pub connections: u64,
}

/// A request as it came from a client.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// Number of the request, from 1.
    pub seq: u64,
    /// The milliseconds from the start of the engine to this.
    pub at_ms: u64,
    /// The method of the request, as `POST`.
    pub method: String,
    /// The path of the request, without its query.
    pub path: String,
    /// The query of the request, without its `?`.
    pub query: Option<String>,
    /// Names (lower case) and values in their order.
    pub headers: Vec<(String, String)>,
    /// Body text as it came (invalid UTF-8 replaced).
    pub body: String,
    /// The body parsed, where it is JSON.
    pub json: Option<Value>,
}

/// The way in which a load went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadOutcome {
    /// The model is being loaded.
    Running,
    /// The model is resident.
    Loaded,
    /// The engine refused or failed.
    Failed,
    /// The client left and took the load with it (Ollama).
    Aborted,
}

/// A load of a model, from its beginning.
#[derive(Clone, Debug, Serialize)]
pub struct LoadEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// The request that caused it.
    pub seq: u64,
    /// The milliseconds from the start of the engine to the beginning of the load.
    pub at_ms: u64,
    /// The milliseconds from the start of the engine to the end of the load; `None` while it runs.
    pub ended_ms: Option<u64>,
    /// The name of the model, as the request gave it.
    pub model: String,
    /// The instance (LM Studio: `key` or `key:2`; Ollama: the model).
    pub instance: String,
    /// The load options in effect (Ollama: the runner tuple).
    pub tuple: Value,
    /// Whether a request for an answer caused it (LM Studio: JIT).
    pub jit: bool,
    /// The way in which the load went.
    pub outcome: LoadOutcome,
}

/// A resident that went.
#[derive(Clone, Debug, Serialize)]
pub struct UnloadEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// The milliseconds from the start of the engine to this.
    pub at_ms: u64,
    /// The instance that went, which is the model's name in an Ollama.
    pub instance: String,
    /// `request`, `expired`, `evicted`, `reload`, `crash`.
    pub cause: String,
    /// Answers that it was giving (LM Studio cuts them; Ollama waits, so 0 but for a crash).
    pub active: u64,
}

/// A resident loaded again with other options (Ollama).
#[derive(Clone, Debug, Serialize)]
pub struct ReloadEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// The request that caused it.
    pub seq: u64,
    /// The milliseconds from the start of the engine to this.
    pub at_ms: u64,
    /// The name of the model, as the request gave it.
    pub model: String,
    /// The options with which it was loaded before.
    pub from: Value,
    /// The options with which it is loaded now.
    pub to: Value,
}

/// The part of its way at which a request was.
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

/// A client that left before its answer was whole.
#[derive(Clone, Debug, Serialize)]
pub struct DisconnectEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// The number of the request.
    pub seq: u64,
    /// The milliseconds from the start of the engine to the moment at which it was noticed.
    pub at_ms: u64,
    /// The name of the model, as the request gave it.
    pub model: String,
    /// The part of its way at which the request was.
    pub phase: Phase,
    /// The number of tokens that were sent by then.
    pub tokens: u64,
    /// When the slot was free again, where that was later (LM Studio's prefill).
    pub slot_free_ms: Option<u64>,
}

/// An answer sent whole.
#[derive(Clone, Debug, Serialize)]
pub struct CompletionEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// The number of the request.
    pub seq: u64,
    /// The milliseconds from the start of the engine to this.
    pub at_ms: u64,
    /// The instance that answered.
    pub instance: String,
    /// Tokens of the prompt, after truncation.
    pub prompt_tokens: u64,
    /// The number of tokens of the answer.
    pub completion_tokens: u64,
    /// The reason for which the answer ended, as the engine says it.
    pub finish: String,
    /// What the engine really used of the request (sampling, limits, context).
    pub options: Value,
}

/// A fault that took effect.
#[derive(Clone, Debug, Serialize)]
pub struct FaultEntry {
    /// The place of the entry among those of all lists.
    pub order: u64,
    /// The number of the request that it hit.
    pub seq: u64,
    /// The milliseconds from the start of the engine to the moment at which it was taken.
    pub at_ms: u64,
    /// The kind of the fault, by its name in a script.
    pub kind: String,
}

// === impl LogView ===

impl LogView {
    /// Returns the requests to a path, in their order.
    pub fn requests_to<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a RequestEntry> {
        self.requests
            .iter()
            .filter(move |request| request.path == path)
    }

    /// Returns the number of loads that succeeded.
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
