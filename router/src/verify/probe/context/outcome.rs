//! The outcomes of probes of contexts, in the form of their file in the state folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The last outcome for each probed instance, by the name of its engine and then by its own.
pub type ContextProbes = BTreeMap<String, BTreeMap<String, ContextProbe>>;

/// The last probe of the context of one loaded model: what its engine stated, and what its answers showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextProbe {
    /// The context per request that the engine stated at that time, in tokens.
    pub stated: u64,
    /// Whether that context is in effect, by the prompts that were sent.
    pub verdict: ContextVerdict,
    /// The verdict in words that continue the stated context.
    pub words: String,
}

/// The verdict on a stated context, after a prompt that should fit it and one that should not were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextVerdict {
    /// The stated context, or more, is in effect.
    Holds,
    /// A prompt that does not fit is cut without an error.
    Cuts,
    /// Less context is in effect.
    Smaller,
}
