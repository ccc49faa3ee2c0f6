//! What happened in the last minutes: the event `timeline` of `GET /crucible/events`.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::EndingClass;

/// A load, an eviction or an answer that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TimelineEntry {
    /// A load that ended.
    Load {
        /// When it began, in milliseconds since 1970.
        at_ms: u64,
        /// The seconds that it took.
        took_s: f64,
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The outcome: `ok`, `error`, `timeout` or `oom`.
        outcome: Cow<'static, str>,
        /// The cause: `request`, `warmup` or `pin`.
        trigger: Cow<'static, str>,
    },
    /// A model that left memory.
    Eviction {
        /// When it left, in milliseconds since 1970.
        at_ms: u64,
        /// The name of the engine.
        engine: Arc<str>,
        /// The engine's name of the model.
        model: Arc<str>,
        /// The reason, such as `conflict` or `ttl`.
        reason: Cow<'static, str>,
    },
    /// An answer that ended, well or not.
    Answer(AnsweredRequest),
}

/// The times and tokens of a request that came as far as the queue and has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredRequest {
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// The id of the request.
    pub request_id: Arc<str>,
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The seconds until it had a permit, was refused, or its client left, without the load in them.
    pub queue_s: f64,
    /// The seconds for which it waited for the load of its model.
    #[serde(default)]
    pub load_s: f64,
    /// The seconds of attempts that failed before the one that is told here, with their waits.
    #[serde(default)]
    pub failed_s: f64,
    /// The seconds from its arrival to the first token; null where none came, or the answer came as a whole.
    pub first_token_s: Option<f64>,
    /// The seconds from its arrival to its end.
    pub took_s: f64,
    /// The tokens of the prompt, as the engine counted them, else estimated.
    pub prompt_tokens: u64,
    /// The tokens of the prompt that the engine had in its cache; null where that is not known.
    pub cached_tokens: Option<u64>,
    /// Whether `cached_tokens` is estimated from the times of the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached_is_estimated: bool,
    /// The tokens of the answer, as the engine counted them, else its events with content.
    pub output_tokens: u64,
    /// The tokens after the first by the seconds since it; null where that cannot be told.
    pub tokens_per_second: Option<f64>,
    /// The HTTP status; 499 where the client left first.
    pub status: u16,
    /// `ok`, `client_gone` where the client left first, the code of the error that ended it, or `client_slow`
    /// where the client did not read and was given up.
    pub outcome: Cow<'static, str>,
}

// === impl AnsweredRequest ===

impl AnsweredRequest {
    /// Returns whether it was answered, left by its client, or failed.
    pub fn ending(&self) -> EndingClass {
        EndingClass::of(&self.outcome, self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart_by_their_kind() {
        let entry = TimelineEntry::Eviction {
            at_ms: 1,
            engine: "gpu".into(),
            model: "m".into(),
            reason: "ttl".into(),
        };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"eviction","at_ms":1,"engine":"gpu","model":"m","reason":"ttl"}"#
        );
        assert_eq!(serde_json::from_str::<TimelineEntry>(&text).unwrap(), entry);
    }
}
