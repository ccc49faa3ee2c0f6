//! Closed enums of label values, and the bound on names of models.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use crucible_router::event::{EvictionReason, LoadOutcome, LoadTrigger};
use http::StatusCode;

use crate::label::labels;

/// The value of `engine` where no engine was reached.
pub(super) const NONE: &str = "none";
/// The value of `model` for every name that is not known.
pub(super) const OTHER: &str = "other";
/// Most names of models that get series of their own.
pub(super) const MODELS: usize = 200;
/// Most refused names that are remembered, so that each is counted once.
const REFUSED: usize = 10_000;

labels! {
    /// How far a request was when its client left.
    Phase { Queue = "queue", Load = "load", Headers = "headers", Stream = "stream", }
}
labels! {
    /// A parameter that may be filled in.
    DefaultParam {
        Temperature = "temperature", TopP = "top_p", FrequencyPenalty = "frequency_penalty",
        PresencePenalty = "presence_penalty", Context = "context",
    }
}
labels! {
    /// A parameter that may be left out; names beyond these are `other`.
    DroppedParam {
        FrequencyPenalty = "frequency_penalty", PresencePenalty = "presence_penalty",
        LogitBias = "logit_bias", Logprobs = "logprobs", TopLogprobs = "top_logprobs", N = "n",
        ParallelToolCalls = "parallel_tool_calls", ReasoningEffort = "reasoning_effort",
        ResponseFormat = "response_format", ServiceTier = "service_tier", Store = "store",
        ToolChoice = "tool_choice", User = "user", Other = "other",
    }
}
labels! {
    /// Whether something went well.
    Outcome { Ok = "ok", Error = "error", }
}
labels! {
    /// Which tokens.
    TokenType {
        Prompt = "prompt", Completion = "completion", Cached = "cached", Reasoning = "reasoning",
    }
}

/// Names of models that have series, and those that came too late.
#[derive(Debug, Default)]
pub(super) struct ModelNames {
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Names {
    admitted: HashSet<Arc<str>>,
    refused: HashSet<Arc<str>>,
}

pub(super) const OUTCOMES: [LoadOutcome; 4] = [
    LoadOutcome::Ok,
    LoadOutcome::Error,
    LoadOutcome::Timeout,
    LoadOutcome::Oom,
];
pub(super) const TRIGGERS: [LoadTrigger; 3] =
    [LoadTrigger::Request, LoadTrigger::Warmup, LoadTrigger::Pin];
pub(super) const EVICTIONS: [EvictionReason; 7] = [
    EvictionReason::Limit,
    EvictionReason::Conflict,
    EvictionReason::Resize,
    EvictionReason::External,
    EvictionReason::Exit,
    EvictionReason::Ttl,
    EvictionReason::Duplicate,
];

/// The word of metrics and the event log.
pub(crate) const fn load_outcome(outcome: LoadOutcome) -> &'static str {
    match outcome {
        LoadOutcome::Ok => "ok",
        LoadOutcome::Error => "error",
        LoadOutcome::Timeout => "timeout",
        LoadOutcome::Oom => "oom",
    }
}

/// The word of metrics and the event log.
pub(crate) const fn load_trigger(trigger: LoadTrigger) -> &'static str {
    match trigger {
        LoadTrigger::Request => "request",
        LoadTrigger::Warmup => "warmup",
        LoadTrigger::Pin => "pin",
    }
}

pub(super) const fn eviction_reason(reason: EvictionReason) -> &'static str {
    match reason {
        EvictionReason::Limit => "limit",
        EvictionReason::Conflict => "conflict",
        EvictionReason::Resize => "grow",
        EvictionReason::External => "external",
        EvictionReason::Exit => "shutdown",
        EvictionReason::Ttl => "ttl",
        EvictionReason::Duplicate => "duplicate",
    }
}

pub(super) const fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The status as a label: registered ones and 499 as they are, others by their class.
pub(super) fn status(code: &StatusCode) -> &str {
    if code.canonical_reason().is_some() || code.as_u16() == 499 {
        return code.as_str();
    }
    match code.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => OTHER,
    }
}

// === impl DroppedParam ===

impl DroppedParam {
    /// The parameter of that name, else [`Self::Other`].
    pub fn from_name(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|param| param.as_str() == name)
            .unwrap_or(Self::Other)
    }
}

// === impl ModelNames ===

impl ModelNames {
    /// Makes the names known, up to the bound; returns how many were refused for the first time.
    pub(super) fn admit<'a>(&self, names: impl Iterator<Item = &'a Arc<str>>) -> u64 {
        let new: Vec<_> = {
            let known = self.names.read().unwrap_or_else(PoisonError::into_inner);
            names
                .filter(|n| !known.admitted.contains(*n) && !known.refused.contains(*n))
                .collect()
        };
        if new.is_empty() {
            return 0;
        }
        let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let mut refused = 0;
        for name in new {
            if known.admitted.contains(name) {
                continue;
            }
            if known.admitted.len() < MODELS {
                known.admitted.insert(Arc::clone(name));
            } else if known.refused.len() < REFUSED && known.refused.insert(Arc::clone(name)) {
                refused += 1;
            }
        }
        refused
    }

    /// The name itself if it is known, else `other`.
    pub(super) fn label<'a>(&self, name: &'a str) -> &'a str {
        let known = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if known.admitted.contains(name) {
            name
        } else {
            OTHER
        }
    }
}
