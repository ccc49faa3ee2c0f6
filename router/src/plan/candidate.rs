//! A plan, its candidates and the reasons for them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::predict::Prediction;

/// The reason why a candidate was chosen. The same word stands in header, log, metric and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The name is a model's, and only one engine has it.
    Exact,
    /// The name is `engine/model`.
    Prefixed,
    /// The name is an alias of the configuration.
    Alias,
    /// `default_model` took an unknown name.
    DefaultModel,
    /// `[[model]] engine` pins it.
    Pinned,
    /// Several engines have it; this one holds it loaded.
    Resident,
    /// Several engines have it; its device decided (GPU first), or a virtual model's order did.
    Device,
    /// A rule of the configuration or the built-in set.
    Rule,
    /// A built-in word rule broke a tie.
    Keyword,
    /// The conversation's earlier turns were answered there.
    Sticky,
    /// The predicted end of the answer decided.
    Predicted,
    /// The only one that can (tools, images, context).
    Capability,
    /// A configured `fallback` of the demanded model.
    Fallback,
    /// A configured `fallback` or `small_model`, because the place of the first choice is busy.
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

    /// The one word for it.
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
    /// The expected times to the first token and to the end, with queue and load.
    pub predicted: Option<Prediction>,
}

/// The ordered candidates for a request; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The candidates, the best first.
    pub candidates: Vec<Candidate>,
}
