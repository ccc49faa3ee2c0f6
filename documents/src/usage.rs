//! What was used, by key, client, model or day: `usage --json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The usage that an event log tells of, row by row and in all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageDoc {
    /// The property by which there are rows: `key`, `client`, `model` or `day`.
    pub by: String,
    /// The first and the last moment of the requests that are counted, in RFC 3339; null where there are none.
    pub from: Option<String>,
    /// The moment at which the last of them asked for its permit.
    pub to: Option<String>,
    /// One row for each key, client, model or day, by name.
    pub rows: Vec<UsageRowDoc>,
    /// All rows together.
    pub all: UsageRowDoc,
    /// The machine's energy counters; empty where it has none or no line tells of one.
    pub energy_counters: Vec<EnergyCounterDoc>,
    /// The number of lines of the log that are no events.
    pub corrupt_lines: usize,
    /// The number of events that the log itself reports as lost.
    pub dropped_events: u64,
}

/// The usage of one key, client, model or day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageRowDoc {
    /// The key, program, `engine/model` or day (`2026-11-28`); null for requests without a key or a
    /// program's name, and for all rows together.
    pub name: Option<String>,
    /// Requests that came as far as the queue.
    pub requests: u64,
    /// Those of them that ended in an error, or whose client was given up because it did not read.
    pub failed: u64,
    /// Those of them whose client left first.
    pub left: u64,
    /// Tokens of the prompts as the engines counted them, else estimated; of requests that held a permit.
    pub prompt_tokens: u64,
    /// Tokens of the prompts that the engines had in their caches.
    pub cached_tokens: u64,
    /// `cached_tokens` by the prompts of the requests for which that is known; null where it is known for
    /// none.
    pub cached_share: Option<f64>,
    /// Whether a part of `cached_tokens` is estimated.
    pub cached_estimated: bool,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Loads of the row's models, or on its day; null in rows by key or client, whom no load belongs to.
    pub loads: Option<u64>,
    /// Seconds that those loads took.
    pub loading_s: Option<f64>,
    /// Seconds for which requests held permits, by the pool of their engine. Two requests at a time are two
    /// seconds a second.
    pub pools_s: BTreeMap<String, f64>,
    /// Joules by energy counter, as they were divided among the requests that ran.
    pub energy_joules: BTreeMap<String, f64>,
}

/// An energy counter of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnergyCounterDoc {
    /// The name of the counter, such as `gpu0` or `package0`.
    pub name: String,
    /// The interface that it was read by: `nvml` or `rapl`.
    pub interface: String,
    /// All that it counted in the logged periods, in joules.
    pub joules: f64,
    /// The part of it that fell into times without a request on the counter's device.
    pub idle_joules: f64,
}
