//! A plan, its candidates and the reasons for them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::predict::Prediction;

/// The reason why a candidate was chosen. Header, log, metric and `crucible explain` use the same
/// word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request names the model, and only one engine has it.
    Exact,
    /// The request names engine and model, as `engine/model`.
    Prefixed,
    /// The request names an alias of the configuration.
    Alias,
    /// No model has the requested name, so the configured `default_model` answers.
    DefaultModel,
    /// The setting `engine` of the model's `[[model]]` block names this engine.
    Pinned,
    /// Several engines have the model, and this one has it loaded.
    Resident,
    /// Several engines have the model, and the order decided: a GPU before a CPU, or the order of a
    /// virtual model's list.
    Device,
    /// A `[[rule]]` of the configuration chose the model.
    Rule,
    /// A built-in word rule decided between two engines whose predicted times are close.
    Keyword,
    /// The same model answered the earlier turns of the conversation.
    Sticky,
    /// The answer is predicted to end earliest on this engine.
    Predicted,
    /// The other engines with the model lack what the request needs: tools, images or context.
    Capability,
    /// The `fallback` list of the requested model names this one.
    Fallback,
    /// The engine of the first choice is busy, so a configured `fallback` or the `small_model`
    /// answers.
    Overload,
}

// === impl Reason ===

impl Reason {
    /// All reasons, for metric labels that are created at the start.
    pub const ALL: [Self; 14] = [
        Self::Exact,
        Self::Prefixed,
        Self::Alias,
        Self::DefaultModel,
        Self::Pinned,
        Self::Resident,
        Self::Device,
        Self::Rule,
        Self::Keyword,
        Self::Sticky,
        Self::Predicted,
        Self::Capability,
        Self::Fallback,
        Self::Overload,
    ];

    /// Returns the word for the reason, such as `default_model`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefixed => "prefixed",
            Self::Alias => "alias",
            Self::DefaultModel => "default_model",
            Self::Pinned => "pinned",
            Self::Resident => "resident",
            Self::Device => "device",
            Self::Rule => "rule",
            Self::Keyword => "keyword",
            Self::Sticky => "sticky",
            Self::Predicted => "predicted",
            Self::Capability => "capability",
            Self::Fallback => "fallback",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One model on one engine that may answer a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The exact name of the model on that engine.
    pub model: Arc<str>,
    /// The reason why it was chosen.
    pub reason: Reason,
    /// The predicted times to the first token and to the end of the answer, with queue and load;
    /// `None` for a candidate that was made without a plan.
    pub predicted: Option<Prediction>,
}

/// The ordered candidates for a request; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The candidates, the best first.
    pub candidates: Vec<Candidate>,
}
