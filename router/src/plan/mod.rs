//! Demand to plan: the ordered candidates, each with a reason from one closed enum.

pub mod sticky;

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

/// Why a candidate was chosen. The same word stands in header, log, metric and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The name is a model's, and only one engine has it.
    Exact,
    /// `engine/model`.
    Prefixed,
    /// An alias of the configuration.
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
    /// The predicted time to first token decided.
    Predicted,
    /// The only one that can (tools, images, context).
    Capability,
    /// A configured `fallback`.
    Fallback,
    /// A configured `fallback`, because the wait was too long.
    Overload,
}

impl Reason {
    /// All of them, for pre-created metric labels.
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

    /// The one word.
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

/// One place where a request may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Engine's name.
    pub engine: Arc<str>,
    /// The engine's exact name of the model.
    pub model: Arc<str>,
    /// Why it stands here.
    pub reason: Reason,
    /// Expected time to first token, queue and load included.
    pub predicted_first_token: Option<Duration>,
}

/// The ordered candidates for a request; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Best first.
    pub candidates: Vec<Candidate>,
}
