//! The outcomes of probes of contexts, in the form of their file in the state folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The outcomes of probes by engine and instance.
pub type ContextProbes = BTreeMap<String, BTreeMap<String, ContextProbe>>;

/// The outcome of the probe of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextProbe {
    /// The context per request that the engine stated at that time, in tokens.
    pub stated: u64,
    /// The verdict on that context.
    pub verdict: ContextVerdict,
    /// The verdict in words that continue the stated context.
    pub words: String,
}

/// The verdict of a probe on a stated context.
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
