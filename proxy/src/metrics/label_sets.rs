//! The labels of metric families, each with the values that it may take.

use crucible_config::tuning::TuningState;
use crucible_router::plan::Reason;

use super::labels::{
    DefaultParam, DisconnectPhase, DroppedParam, EVICTIONS, OUTCOMES, Outcome, QUEUE_REASONS,
    RetryOutcome, RetryReason, TRIGGERS, TimedPhase, TokenType, WHOLE_TOKENS, eviction_reason,
    load_outcome, load_trigger,
};
use crate::{
    endpoint::Endpoint,
    error::{AbortCause, ErrorKind, FallbackReason, UpstreamError},
};

/// A label of a metric family, by the set of values that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// The values that it may take.
    pub values: LabelValues,
}

/// The values that a label may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelValues {
    /// One of these words.
    Words(&'static [&'static str]),
    /// A value that is bounded in another way, which this says.
    Bounded(&'static str),
}

/// Makes the words of a closed set from all its values and the function that gives the word of one.
macro_rules! words {
    ($all:expr, $word:path) => {{
        const WORDS: [&str; $all.len()] = {
            let mut words = [""; $all.len()];
            let mut at = 0;
            while at < words.len() {
                words[at] = $word($all[at]);
                at += 1;
            }
            words
        };
        LabelValues::Words(&WORDS)
    }};
}

macro_rules! label_sets {
    ($($id:ident = $name:literal: $values:expr;)*) => {
        $(pub(super) const $id: Label = Label { name: $name, values: $values };)*
    };
}

label_sets! {
    ENDPOINT = "endpoint": words!(Endpoint::OF_CLIENTS, Endpoint::as_str);
    ENGINE = "engine": LabelValues::Bounded("a configured engine, or `none` where none was reached");
    FROM_ENGINE = "from_engine": LabelValues::Bounded("the engine whose attempt failed");
    TO_ENGINE = "to_engine": LabelValues::Bounded("the engine that was tried next");
    MODEL = "model": LabelValues::Bounded("a name that an engine lists, at most 200 of them, else `other`");
    STREAM = "stream": LabelValues::Words(&["true", "false"]);
    STATUS = "code": LabelValues::Bounded("the HTTP status; 499 is a client that left first; others than \
        the registered ones by their class (`5xx`), else `other`");
    TOKEN_TYPE = "type": words!(TokenType::ALL, TokenType::as_str);
    WHOLE_TYPE = "type": words!(WHOLE_TOKENS, TokenType::as_str);
    WAIT_REASON = "reason": LabelValues::Words(&["slot", "load"]);
    QUEUE_REASON = "reason": LabelValues::Words(&QUEUE_REASONS);
    REQUEST_PHASE = "phase": words!(TimedPhase::ALL, TimedPhase::as_str);
    RETRY_REASON = "reason": words!(RetryReason::ALL, RetryReason::as_str);
    RETRY_OUTCOME = "outcome": words!(RetryOutcome::ALL, RetryOutcome::as_str);
    POOL = "pool": LabelValues::Bounded("a pool of memory: `gpu`, `cpu`, one of another host \
        (`gpu@host`), or a configured one");
    GPU = "gpu": LabelValues::Bounded("the number of a graphics card, from 0: NVIDIA's first");
    ENERGY_SOURCE = "source": LabelValues::Bounded("a graphics card (`gpu0`) or a processor package \
        (`package0`)");
    ROUTE_REASON = "reason": words!(Reason::ALL, Reason::as_str);
    ERROR_CODE = "reason": words!(ErrorKind::REJECTED, ErrorKind::code);
    EVICTION_REASON = "reason": words!(EVICTIONS, eviction_reason);
    FALLBACK_REASON = "reason": words!(FallbackReason::ALL, FallbackReason::as_str);
    LOAD_OUTCOME = "outcome": words!(OUTCOMES, load_outcome);
    LOAD_TRIGGER = "trigger": words!(TRIGGERS, load_trigger);
    OUTCOME = "outcome": words!(Outcome::ALL, Outcome::as_str);
    UPSTREAM_ERROR = "kind": words!(UpstreamError::ALL, UpstreamError::as_str);
    ENGINE_KIND = "kind": LabelValues::Words(&["lmstudio", "ollama", "llamacpp", "openai"]);
    ENGINE_VERSION = "version": LabelValues::Bounded("the engine's own word, at most 32 characters, else \
        `unknown`");
    ABORT_CAUSE = "cause": words!(AbortCause::ALL, AbortCause::as_str);
    DISCONNECT_PHASE = "phase": words!(DisconnectPhase::ALL, DisconnectPhase::as_str);
    DEFAULT_PARAM = "param": words!(DefaultParam::ALL, DefaultParam::as_str);
    DROPPED_PARAM = "param": words!(DroppedParam::ALL, DroppedParam::as_str);
    SETTING = "setting": LabelValues::Bounded("a row of `docs/tunings.md`");
    SETTING_STATE = "state": words!(TuningState::ALL, TuningState::as_str);
    SINK = "sink": LabelValues::Words(&["events", "otlp", "stderr"]);
    LABEL = "label": LabelValues::Words(&["model"]);
    VERSION = "version": LabelValues::Bounded("Crucible's version");
    REVISION = "revision": LabelValues::Bounded("the commit that it was built from, else `unknown`");
}

// === impl LabelValues ===

impl LabelValues {
    /// Whether the set allows this value; a bounded one allows any.
    pub fn allows(self, value: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&value),
            Self::Bounded(_) => true,
        }
    }
}
