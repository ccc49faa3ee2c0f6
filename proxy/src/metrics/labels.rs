//! Closed enums of label values that belong to the metrics alone, the words for enums of the router, and
//! the bound on names of models.

use std::{collections::HashSet, sync::Arc};

use crucible_router::event::{EvictionReason, LoadOutcome, LoadTrigger};
use http::StatusCode;
use parking_lot::RwLock;

use crate::label::labels;

/// The value of the label `engine` where no engine was reached.
pub(super) const NONE: &str = "none";
/// The value of the label `model` for every name that no engine lists.
pub(super) const OTHER: &str = "other";
/// The most names of models that get series of their own.
pub(super) const MOST_MODELS: usize = 200;
/// The most refused names that are remembered, so that each is counted once.
const MOST_REFUSED: usize = 10_000;

labels! {
    /// The phase that a request was in when its client left.
    DisconnectPhase { Queue = "queue", Load = "load", Headers = "headers", Stream = "stream", }
}
labels! {
    /// A parameter of a request that Crucible may fill in.
    DefaultParam {
        Temperature = "temperature", TopP = "top_p", FrequencyPenalty = "frequency_penalty",
        PresencePenalty = "presence_penalty", Context = "context",
    }
}
labels! {
    /// A parameter of a request that Crucible leaves out where the engine does not understand it.
    DroppedParam { LogitBias = "logit_bias", ParallelToolCalls = "parallel_tool_calls", }
}
labels! {
    /// Whether an attempt, a check or a reload succeeded.
    Outcome { Ok = "ok", Error = "error", }
}
labels! {
    /// The tokens of a request that a count is about.
    TokenType {
        Prompt = "prompt", Completion = "completion", Cached = "cached",
        CachedEstimated = "cached_estimated", Reasoning = "reasoning",
    }
}

labels! {
    /// The part of a request's time that seconds are counted for.
    TimedPhase {
        Receive = "receive", Failed = "failed", Queue = "queue", Load = "load", Prefill = "prefill", Generate = "generate",
        Own = "own",
    }
}
labels! {
    /// The reason for which a request is sent to its engine a second time.
    RetryReason { StaleConnection = "stale_connection", }
}
labels! {
    /// The outcome of a second sending: the engine answered, it failed too, or it was left out because
    /// the budget was spent.
    RetryOutcome { Ok = "ok", Error = "error", OverBudget = "over_budget", }
}

/// The tokens of a request that its size is measured by: those of the prompt and of the answer.
pub(super) const WHOLE_TOKENS: [TokenType; 2] = [TokenType::Prompt, TokenType::Completion];

/// The reasons of a wait in the router's view, for which series exist from the start.
pub(super) const QUEUE_REASONS: [&str; 3] = ["slot", "load", "swap"];

/// The names of models that have series of their own, and those that came when there was no room left.
#[derive(Debug, Default)]
pub(super) struct ModelNames {
    names: RwLock<AdmittedNames>,
}

#[derive(Debug, Default)]
struct AdmittedNames {
    admitted: HashSet<Arc<str>>,
    refused: HashSet<Arc<str>>,
}

/// The outcomes of a load for which series exist from the start.
pub(super) const OUTCOMES: [LoadOutcome; 4] = [
    LoadOutcome::Ok,
    LoadOutcome::Error,
    LoadOutcome::Timeout,
    LoadOutcome::Oom,
];
/// The causes of a load for which series exist from the start.
pub(super) const TRIGGERS: [LoadTrigger; 3] =
    [LoadTrigger::Request, LoadTrigger::Warmup, LoadTrigger::Pin];
/// The causes of an eviction that are counted. The unloads at the end of Crucible are not: nobody can scrape any
/// more by then.
pub(super) const EVICTIONS: [EvictionReason; 6] = [
    EvictionReason::Limit,
    EvictionReason::Conflict,
    EvictionReason::Resize,
    EvictionReason::External,
    EvictionReason::Ttl,
    EvictionReason::Duplicate,
];

/// The word for the outcome of a load in metrics and in the event log.
pub(crate) const fn load_outcome(outcome: LoadOutcome) -> &'static str {
    match outcome {
        LoadOutcome::Ok => "ok",
        LoadOutcome::Error => "error",
        LoadOutcome::Timeout => "timeout",
        LoadOutcome::Oom => "oom",
    }
}

/// The word for the trigger of a load in metrics and in the event log.
pub(crate) const fn load_trigger(trigger: LoadTrigger) -> &'static str {
    match trigger {
        LoadTrigger::Request => "request",
        LoadTrigger::Warmup => "warmup",
        LoadTrigger::Pin => "pin",
    }
}

/// The word for the reason of an eviction.
pub(crate) const fn eviction_reason(reason: EvictionReason) -> &'static str {
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

/// The word for a yes or a no.
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

// === impl ModelNames ===

impl ModelNames {
    /// Gives these names series of their own, up to the bound, and returns how many were refused for the
    /// first time.
    pub(super) fn admit<'a>(&self, names: impl Iterator<Item = &'a Arc<str>>) -> u64 {
        let new: Vec<_> = {
            let known = self.names.read();
            names
                .filter(|n| !known.admitted.contains(*n) && !known.refused.contains(*n))
                .collect()
        };
        if new.is_empty() {
            return 0;
        }
        let mut known = self.names.write();
        let mut refused = 0;
        for name in new {
            if known.admitted.contains(name) {
                continue;
            }
            if known.admitted.len() < MOST_MODELS {
                known.admitted.insert(Arc::clone(name));
            } else if known.refused.len() < MOST_REFUSED && known.refused.insert(Arc::clone(name)) {
                refused += 1;
            }
        }
        refused
    }

    /// The value of the label `model`: the name itself if it was admitted, else `other`.
    pub(super) fn label<'a>(&self, name: &'a str) -> &'a str {
        let known = self.names.read();
        if known.admitted.contains(name) {
            name
        } else {
            OTHER
        }
    }
}
