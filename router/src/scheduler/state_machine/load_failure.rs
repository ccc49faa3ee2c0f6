//! Loads that fail: the meaning of the engine's words, and the backoff until the next try.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    model_key::{ModelKey, deadline_after},
    state::{LoadBackoff, Scheduler},
    wait_estimate::retry_after,
};
use crate::{
    event::LoadOutcome,
    refusal::Refusal,
    scheduler::messages::{LoadCommand, LoadFailure},
};

/// The backoff after the first failure; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(2);
/// The longest backoff.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// Words of engines when memory is short: Ollama 0.33 (`server/sched.go`, `llm/server.go`),
/// llama.cpp's allocators, LM Studio's guardrails and its KV cache (0.3, 0.4). A runner that is
/// killed is what the kernel does when main memory is short.
const OUT_OF_MEMORY: [&str; 11] = [
    "out of memory",
    "outofmemory",
    "more system memory",
    "insufficient system resources",
    "insufficient memory",
    "not enough memory",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate memory",
    "cudamalloc failed",
    "signal: killed",
];

/// Words of LM Studio whatever the cause was, memory included (lmstudio-bug-tracker 2295).
const GENERIC: [&str; 2] = ["error loading model", "failed to load model"];

/// Whether the engine, which listed the model at its last poll, does not know it now: it was
/// deleted. Ollama and llama.cpp say "model 'm' not found", LM Studio `Model "m" not found`. A file
/// or a library that is missing is another matter.
fn says_missing(lower: &str) -> bool {
    let name = lower
        .strip_prefix("model ")
        .and_then(|rest| rest.split_once(" not found"))
        .map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// The backoff that follows this one.
pub(super) fn next_backoff(before: Duration) -> Duration {
    before.saturating_mul(2).clamp(BACKOFF_MIN, BACKOFF_MAX)
}

// === impl LoadFailure ===

impl LoadFailure {
    /// Classifies a failure by the words of the engine.
    pub fn classify(words: String) -> Self {
        let lower = words.to_ascii_lowercase();
        if says_missing(&lower) {
            Self::ModelMissing(words)
        } else if OUT_OF_MEMORY.iter().any(|sign| lower.contains(sign)) {
            Self::OutOfMemory(words)
        } else {
            Self::Refused(words)
        }
    }

    /// The words of the engine, where they may mean that less context would fit.
    pub(super) fn maybe_out_of_memory(&self) -> Option<&str> {
        match self {
            Self::OutOfMemory(words) => Some(words),
            Self::Refused(words) => {
                let lower = words.to_ascii_lowercase();
                let generic = GENERIC.iter().any(|sign| lower.contains(sign));
                generic.then_some(words)
            }
            Self::ModelMissing(_) | Self::ConnectionLost(_) | Self::Timeout => None,
        }
    }

    /// The outcome as events and metrics name it.
    pub(super) const fn outcome(&self) -> LoadOutcome {
        match self {
            Self::Refused(_) | Self::ModelMissing(_) | Self::ConnectionLost(_) => {
                LoadOutcome::Error
            }
            Self::OutOfMemory(_) => LoadOutcome::Oom,
            Self::Timeout => LoadOutcome::Timeout,
        }
    }

    /// The refusal of a request for that name that waited for the load; `backoff` is the time until
    /// the next try.
    pub(super) fn refusal(
        &self,
        name: Arc<str>,
        order: &LoadCommand,
        backoff: Duration,
    ) -> Refusal {
        let (engine, model) = (Arc::clone(&order.engine), name);
        match self {
            Self::Refused(message) | Self::OutOfMemory(message) | Self::ConnectionLost(message) => {
                Refusal::LoadFailed {
                    engine,
                    model,
                    message: message.clone(),
                    retry_after: retry_after(backoff),
                }
            }
            Self::ModelMissing(message) => Refusal::ModelMissing {
                engine,
                model,
                message: message.clone(),
            },
            Self::Timeout => Refusal::LoadTimeout {
                engine,
                model,
                after: order.timeout,
            },
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Remembers a failed load, and returns for how long it is not tried again.
    pub(super) fn note_load_failure(
        &mut self,
        key: ModelKey,
        failure: &LoadFailure,
        timeout: Duration,
        now: Instant,
    ) -> Duration {
        let before = self.load_backoffs.get(&key).map(|b| b.delay);
        let delay = next_backoff(before.unwrap_or_default());
        let message = match failure {
            LoadFailure::Refused(message)
            | LoadFailure::OutOfMemory(message)
            | LoadFailure::ModelMissing(message)
            | LoadFailure::ConnectionLost(message) => message.clone(),
            LoadFailure::Timeout => format!("the load did not end in {timeout:?}"),
        };
        if let Some(retry_at) = deadline_after(now, delay) {
            let backoff = LoadBackoff {
                retry_at,
                delay,
                message,
                out_of_memory: matches!(failure, LoadFailure::OutOfMemory(_)),
                model_missing: matches!(failure, LoadFailure::ModelMissing(_)),
            };
            self.load_backoffs.insert(key, backoff);
        }
        delay
    }

    /// Ends the backoffs of this pool whose cause was memory: something left it, so that they may
    /// fit now.
    pub(super) fn clear_memory_backoffs(&mut self, pool: &str) {
        let engines = &self.engines;
        self.load_backoffs.retain(|(engine, _), failure| {
            let mut of_pool = engines.iter().filter(|e| *e.facts.pool == *pool);
            !failure.out_of_memory || !of_pool.any(|e| e.facts.name == *engine)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_tell_when_memory_is_short() {
        for words in [
            "model requires more system memory (9.1 GiB) than is available (4.0 GiB)",
            "llama runner process has terminated: cudaMalloc failed: out of memory",
            "Failed to load model: insufficient system resources",
            "failed to allocate buffer for kv cache",
            "llama-server process has terminated: signal: killed",
        ] {
            let failure = LoadFailure::classify(words.into());
            assert_eq!(failure, LoadFailure::OutOfMemory(words.into()));
        }
        for words in ["unknown model architecture", "model_load_failed", ""] {
            let failure = LoadFailure::classify(words.into());
            assert_eq!(failure, LoadFailure::Refused(words.into()));
        }
    }

    #[test]
    fn a_model_that_is_not_there_is_told_from_what_it_lacks() {
        for words in [
            "model 'b:latest' not found",
            "Model \"b\" not found",
            "model \"b\" not found, try pulling it first",
        ] {
            let failure = LoadFailure::classify(words.into());
            assert_eq!(failure, LoadFailure::ModelMissing(words.into()));
        }
        for words in [
            "model file /m/b.gguf not found",
            "model  not found",
            "libcuda.so not found",
            "failed to load model: tensor 'x' not found",
        ] {
            let failure = LoadFailure::classify(words.into());
            assert_eq!(failure, LoadFailure::Refused(words.into()));
        }
    }
}
