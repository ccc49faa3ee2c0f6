//! The explanation of where a request would go and why: `POST /crucible/explain` and `explain --json`.
//!
//! ```
//! use crucible_documents::ExplainDoc;
//!
//! let explained: ExplainDoc = serde_json::from_str(
//!     r#"{"model": "qwen", "engine": "gpu", "reason": "exact", "candidates": [],
//!         "standby": null, "defaults": {"top_p": {"value": 0.8, "from": "profile"}},
//!         "context": {"needed": 900, "given": 4096, "because": "configured"}}"#,
//! )
//! .unwrap();
//! assert_eq!(explained.defaults["top_p"].value, 0.8);
//! // JSON of another program explains nothing.
//! assert!(serde_json::from_str::<ExplainDoc>("{}").is_err());
//! ```

use std::sync::Arc;

use crucible_config::checked::{DefaultSource, FilledValue};
use crucible_router::{
    handle::ContextGiven,
    plan::{Candidate, Reason},
    predict::{PredictedTime, Prediction, PredictionBasis},
};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::number::seconds;

/// A decision on a request that is not sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainDoc {
    /// The model of the first candidate.
    pub model: Option<Arc<str>>,
    /// The engine of the first candidate.
    pub engine: Option<Arc<str>>,
    /// The reason why the first candidate comes first.
    pub reason: Option<Reason>,
    /// The candidates in the order in which they would be tried.
    pub candidates: Vec<CandidateDoc>,
    /// The candidate that takes over from the first one when its wait is too long.
    pub standby: Option<StandbyDoc>,
    /// The values that would be filled in, by name, `context` included.
    pub defaults: IndexMap<String, DefaultDoc>,
    /// The context that the request would get; null where the engine's contexts are not known.
    pub context: Option<ContextDoc>,
    /// The comparison with the last turn of the same conversation; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<PrefixDoc>,
}

/// Whether a prompt goes on from the turn before, so that its engine reads only what is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixDoc {
    /// The number of the turn that the request would be.
    pub turn: u32,
    /// The place from which on the prompt differs from the turn before, such as `the system prompt
    /// differs within its first 256 bytes`; null where it goes on from that turn.
    pub differs: Option<String>,
}

/// An engine and a model that could answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateDoc {
    /// The engine's name.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The reason why it is a candidate.
    pub reason: Reason,
    /// The seconds until its first token, as predicted.
    pub predicted_first_token_s: Option<f64>,
    /// The seconds until the end of its answer, as predicted.
    #[serde(default)]
    pub predicted_end_s: Option<f64>,
    /// The parts of that prediction.
    #[serde(default)]
    pub prediction: Option<PredictionDoc>,
}

/// The parts of a predicted answer, in the order in which they pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionDoc {
    /// The wait for a permit.
    pub queue: PredictedTimeDoc,
    /// The load of the model.
    pub load: PredictedTimeDoc,
    /// The reading of the prompt.
    pub prefill: PredictedTimeDoc,
    /// The writing of the answer.
    pub output: PredictedTimeDoc,
    /// The tokens of the prompt.
    pub prompt_tokens: u64,
    /// The tokens of the answer.
    pub answer_tokens: PredictedCountDoc,
}

/// A predicted time in seconds, with the measurements that it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictedTimeDoc {
    /// The predicted time in seconds.
    pub s: f64,
    /// The basis that the number rests on.
    #[serde(flatten)]
    pub basis: BasisDoc,
}

/// A predicted number of tokens, with the measurements that it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictedCountDoc {
    /// The number of tokens.
    pub count: u64,
    /// The basis that the number rests on.
    #[serde(flatten)]
    pub basis: BasisDoc,
}

/// The basis that a predicted number rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "lowercase")]
pub enum BasisDoc {
    /// The number needs no estimate: nobody waits, or the model is loaded.
    Known,
    /// The stated prior of the device.
    Prior,
    /// Answers or loads that were measured.
    Measured {
        /// The number of measured answers or loads.
        samples: u32,
    },
}

/// The candidate that takes over from a long wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandbyDoc {
    /// The engine's name.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The seconds of waiting after which it is asked too.
    pub after_s: f64,
}

/// A value that would be filled in because the request says nothing of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefaultDoc {
    /// The value.
    pub value: Value,
    /// The origin of the value.
    pub from: DefaultSource,
}

/// The context that a request would get, in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextDoc {
    /// The tokens that prompt and answer need.
    pub needed: u64,
    /// The tokens that the request would have.
    pub given: u64,
    /// The reason for that number, in one word: `configured`, `loaded`, `remembered`, `needed`,
    /// `limited` or `refused`.
    pub because: String,
}

// === impl CandidateDoc ===

impl CandidateDoc {
    /// The candidate of a plan.
    pub fn of(candidate: &Candidate) -> Self {
        let predicted = candidate.predicted.as_ref();
        Self {
            engine: Arc::clone(&candidate.engine),
            model: Arc::clone(&candidate.model),
            reason: candidate.reason,
            predicted_first_token_s: predicted.map(|p| seconds(p.first_token())),
            predicted_end_s: predicted.map(|p| seconds(p.end())),
            prediction: predicted.map(PredictionDoc::of),
        }
    }
}

// === impl PredictionDoc ===

impl PredictionDoc {
    fn of(predicted: &Prediction) -> Self {
        let answer = &predicted.answer;
        Self {
            queue: PredictedTimeDoc::of(&predicted.queue),
            load: PredictedTimeDoc::of(&predicted.load),
            prefill: PredictedTimeDoc::of(&predicted.prefill),
            output: PredictedTimeDoc::of(&answer.output),
            prompt_tokens: predicted.prompt_tokens,
            answer_tokens: PredictedCountDoc {
                count: answer.tokens,
                basis: answer.basis.into(),
            },
        }
    }
}

// === impl PredictedTimeDoc ===

impl PredictedTimeDoc {
    fn of(part: &PredictedTime) -> Self {
        Self {
            s: seconds(part.time),
            basis: part.basis.into(),
        }
    }
}

// === impl BasisDoc ===

impl From<PredictionBasis> for BasisDoc {
    fn from(basis: PredictionBasis) -> Self {
        match basis {
            PredictionBasis::Known => Self::Known,
            PredictionBasis::Prior => Self::Prior,
            PredictionBasis::Measured(samples) => Self::Measured { samples },
        }
    }
}

// === impl DefaultDoc ===

impl<T: Into<Value>> From<FilledValue<T>> for DefaultDoc {
    fn from(filled: FilledValue<T>) -> Self {
        Self {
            value: filled.value.into(),
            from: filled.from,
        }
    }
}

// === impl ContextDoc ===

impl From<ContextGiven> for ContextDoc {
    fn from(context: ContextGiven) -> Self {
        Self {
            needed: context.needed,
            given: context.given,
            because: context.because.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_number_is_followed_by_what_it_rests_on() {
        let written = |basis| {
            let time = Duration::from_millis(1500);
            serde_json::to_string(&PredictedTimeDoc::of(&PredictedTime { time, basis })).unwrap()
        };
        assert_eq!(
            written(PredictionBasis::Prior),
            r#"{"s":1.5,"basis":"prior"}"#
        );
        let measured = written(PredictionBasis::Measured(12));
        assert_eq!(measured, r#"{"s":1.5,"basis":"measured","samples":12}"#);
        let read: PredictedTimeDoc = serde_json::from_str(&measured).unwrap();
        assert_eq!(read.basis, BasisDoc::Measured { samples: 12 });
    }
}
