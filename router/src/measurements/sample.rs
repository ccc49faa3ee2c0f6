//! One finished answer, as the measurements learn from it.

use std::{sync::Arc, time::Duration};

use super::running_mean::{RunningMean, float};
use crate::client::ClientId;

/// The shortest time that is more than noise of clocks and scheduling.
pub(super) const TIME_MIN: Duration = Duration::from_millis(10);

/// A number of tokens and the time that they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedTokens {
    /// The tokens.
    pub tokens: u64,
    /// The time that they took together.
    pub took: Duration,
}

/// The length of one answer in tokens, and whether a limit cut it short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLength {
    /// Its tokens.
    pub tokens: u64,
    /// Whether it has all the tokens that the request allowed, and might have had more.
    pub cut_short: bool,
}

/// The engine's numbers of one whole answer: tokens read and written, and the time that each took.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerSample {
    /// The name of the engine.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The client that asked.
    pub client: ClientId,
    /// Whether a prediction, or the place of the conversation, chose this model. An answer of a
    /// model that a person or a rule named says nothing about its answers to other requests.
    pub model_was_chosen: bool,
    /// Prompt tokens estimated at 4 bytes each; `None` where the prompt is not text alone.
    pub estimated_prompt_tokens: Option<u64>,
    /// Prompt tokens as the engine counted them, cached ones included.
    pub prompt_tokens: Option<u64>,
    /// The tokens of the prompt that the engine read, and the time that it took for them.
    pub prompt_time: Option<TimedTokens>,
    /// Whether the engine did not say how much of the prompt it found in its cache.
    pub cache_unknown: bool,
    /// The length of the answer.
    pub answer_length: Option<AnswerLength>,
    /// The tokens of the answer, and the time that they took.
    pub output_time: Option<TimedTokens>,
    /// The context that prompt and answer needed, and the context that is configured for the model,
    /// in tokens.
    pub context_need: Option<(u64, u64)>,
    /// The time from sending the request to the end of its answer.
    pub service_time: Duration,
}

// === impl AnswerLength ===

impl AnswerLength {
    /// Adds the length to a mean. An answer that was cut short says only that it would have been
    /// longer. Long ones count in full, because they are what is waited for.
    pub(super) fn add_to(self, tokens: &mut RunningMean) {
        if !self.cut_short || (tokens.is_valid() && float(self.tokens) > tokens.mean) {
            tokens.add_time(float(self.tokens));
        }
    }
}

// === impl TimedTokens ===

impl TimedTokens {
    /// Returns the tokens per second; `None` for fewer than `fewest` tokens, or a time that is
    /// noise.
    pub(super) fn tokens_per_second(self, fewest: u64) -> Option<f64> {
        (self.tokens >= fewest && self.took >= TIME_MIN)
            .then(|| float(self.tokens) / self.took.as_secs_f64())
    }
}
