//! One line of the log, serialised and parsed. Times are whole milliseconds; nothing that a person
//! wrote is in them.

use std::{borrow::Cow, sync::Arc};

use crucible_config::checked::{Class, Device, EngineKind};
use serde::{Deserialize, Serialize};

use crate::EndingClass;

/// One event, tagged with its name in `event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LoggedEvent {
    /// A request that asked for a permit, written when it ended.
    Request(RequestEvent),
    /// A load of a model, written when it ended.
    Load(LoadEvent),
    /// The energy that a device took over some seconds in which requests ran.
    Energy(EnergyEvent),
    /// Events before this line that were lost, because they came faster than the disk took them.
    Dropped {
        /// The number of events that were lost.
        count: u64,
    },
}

/// A request that asked for a permit, from that moment to the end of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestEvent {
    /// When it asked for the permit, in milliseconds since 1970.
    pub at_ms: u64,
    /// The engine's name.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The name of the client's key, if it used one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<str>>,
    /// The program that asked, by the product of its User-Agent; absent if it sent none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Arc<str>>,
    /// Whether a person waits for the answer.
    pub class: Class,
    /// The tokens of the prompt as the engine counted them, else estimated.
    pub prompt_tokens: u64,
    /// The tokens of the prompt that the engine had in its cache; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Whether `cached_tokens` is estimated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached_estimated: bool,
    /// The tokens of the answer as the engine counted them, else its events with content.
    pub output_tokens: u64,
    /// Milliseconds until it had the permit, was refused, or its client left.
    pub wait_ms: u64,
    /// Whether a load was part of that wait.
    pub loaded: bool,
    /// Milliseconds from the permit to the end; absent if it never had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<u64>,
    /// Milliseconds from asking for the permit to the first token; absent if none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// The HTTP status of the answer; 499 if the client left first.
    pub status: u16,
    /// `ok`, `client_gone` where the client left first, the code of the error that ended it, or `client_slow`
    /// where the client did not read and was given up. In lines of older versions it is `ok` wherever no error
    /// ended it.
    pub outcome: Cow<'static, str>,
    /// Whether the answer ended in tool calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called_tools: bool,
    /// The facts about engine and model that were known when the line was written; absent where
    /// there were none.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<LoggedEngineFacts>,
}

/// The facts about the engine and the model of a request that a replay needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedEngineFacts {
    /// The kind of the engine.
    pub engine_kind: EngineKind,
    /// The device that the engine computes on.
    pub device: Device,
    /// The pool whose memory the model takes.
    pub pool: Arc<str>,
    /// Whether the model makes vectors.
    #[serde(default)]
    pub embedding: bool,
    /// The bytes of the model's weights, where the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// A line of the event log about one load or unload of a model: what it was for, how long it took and
/// how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadEvent {
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// The engine's name.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// The outcome of the load: `ok`, `error` or `timeout`.
    pub outcome: Cow<'static, str>,
    /// The cause of the load: `request` or `warmup`.
    pub trigger: Cow<'static, str>,
}

/// A line of the event log about one energy counter of the machine: how far it went on in a period in
/// which at least one request held a permit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnergyEvent {
    /// When the period began, in milliseconds since 1970.
    pub at_ms: u64,
    /// Milliseconds that the period lasted.
    pub took_ms: u64,
    /// The name of the counter, such as `gpu0` or `package0`.
    pub source: Arc<str>,
    /// The interface that the counter was read by: `nvml` or `rapl`.
    pub interface: Cow<'static, str>,
    /// The device that the counter measures.
    pub device: Device,
    /// The energy in joules.
    pub joules: f64,
}

// === impl RequestEvent ===

impl RequestEvent {
    /// Returns whether it was answered, left by its client, or failed.
    pub fn ending(&self) -> EndingClass {
        EndingClass::of(&self.outcome, self.status)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    proptest! {
        /// Whatever is absent, and whatever is in a name.
        #[test]
        fn a_request_is_read_back_as_it_was_written(
            names in vec("(\\PC|[\"\\\\\u{0}-\u{20}\u{7f}]){0,6}", 5),
            numbers in vec(option::of(any::<u64>()), 8),
            flags in any::<[bool; 3]>(),
        ) {
            let [engine, model, client, outcome, pool] = &names[..] else { unreachable!() };
            let number = |n: usize| numbers[n].unwrap_or_default();
            let known = numbers[7].is_some();
            let line = RequestEvent {
                at_ms: number(0),
                engine: Arc::from(&**engine),
                model: Arc::from(&**model),
                client: flags[0].then(|| Arc::from(&**client)),
                program: flags[2].then(|| Arc::from(&**pool)),
                class: if flags[1] { Class::Interactive } else { Class::Background },
                prompt_tokens: number(1),
                cached_tokens: numbers[5],
                cached_estimated: flags[0],
                output_tokens: number(2),
                wait_ms: number(3),
                loaded: flags[2],
                held_ms: numbers[4],
                first_token_ms: numbers[5],
                status: 499,
                outcome: outcome.clone().into(),
                called_tools: flags[1],
                facts: known.then(|| LoggedEngineFacts {
                    engine_kind: EngineKind::Llamacpp,
                    device: Device::Gpu,
                    pool: Arc::from(&**pool),
                    embedding: flags[1],
                    size_bytes: numbers[6],
                }),
            };
            let event = LoggedEvent::Request(line);
            let written = serde_json::to_string(&event).unwrap();
            prop_assert!(!written.contains('\n'), "{written}");
            prop_assert_eq!(serde_json::from_str::<LoggedEvent>(&written).unwrap(), event);
        }
    }
}
