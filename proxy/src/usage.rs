//! Token counts and times of one answer, as engines report them.
//!
//! This is ground: the formats of engines read it, the relay carries it, and the metrics, the event
//! log and the predictor count it.

mod prompt_progress;
mod reported;
mod slot_readings;

use std::time::Duration;

use crucible_router::measurements::TimedTokens;

use self::reported::ReportedNumber;
pub(crate) use self::reported::{LlamaCounts, LlamaTimings, OpenAiUsage, ReportedObject};

pub use self::{prompt_progress::PromptProgress, slot_readings::SlotReadings};

/// The token counts of one answer as the engine reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    /// Generated tokens, thinking included.
    pub completion: u64,
    /// The tokens of the prompt that were found in the cache; `None` where that is not known.
    pub cached: Option<u64>,
    /// `cached` is estimated from the times of the answer; else the engine counted it.
    pub cached_is_estimated: bool,
    /// The tokens of the answer that are thinking; `None` where that is not known.
    pub reasoning: Option<u64>,
    /// The engine's own clock, where it tells.
    pub timing: Timing,
}

/// No answer has more tokens: what counts more is no count.
pub(crate) const MOST_TOKENS: u64 = u32::MAX as u64;

/// The times that an engine reports for its own work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// The prompt.
    pub prompt: Option<TimedTokens>,
    /// These tokens are without those found in the cache.
    pub cache_left_out: bool,
    /// The answer.
    pub output: Option<TimedTokens>,
}

// === impl Usage ===

impl Usage {
    /// Reads the counts of an answer in OpenAI's format; `None` where it holds no counts, or odd ones:
    /// what is not counted passes all the same. `timings` is llama.cpp's, whose counts of cached tokens
    /// stand there in every version and in `usage` only in newer ones.
    pub(crate) fn of_openai(usage: &OpenAiUsage, timings: &LlamaTimings) -> Option<Self> {
        let count = |number: ReportedNumber| number.whole().filter(|count| *count <= MOST_TOKENS);
        let required = |number| match number {
            ReportedNumber::Absent => Some(None),
            number => count(number).map(Some),
        };
        let (prompt, completion) = (
            required(usage.prompt_tokens)?,
            required(usage.completion_tokens)?,
        );
        prompt.or(completion)?;
        let timed = || {
            let read = || Some(prompt?.saturating_sub(count(timings.prompt_n)?));
            count(timings.cache_n).or_else(read)
        };
        let cached = count(usage.prompt_tokens_details.0.cached_tokens).or_else(timed);
        Some(Self {
            prompt: prompt.unwrap_or(0),
            completion: completion.unwrap_or(0),
            cached: cached.filter(|cached| prompt.is_none_or(|prompt| *cached <= prompt)),
            cached_is_estimated: false,
            reasoning: count(usage.completion_tokens_details.0.reasoning_tokens),
            timing: Timing::of_llama(timings),
        })
    }

    /// Reads the counts of an answer of llama.cpp's own `/completion`; `None` where it holds none, or odd ones.
    pub(crate) fn of_llama(counts: &LlamaCounts) -> Option<Self> {
        let told = OpenAiUsage {
            prompt_tokens: counts.tokens_evaluated,
            completion_tokens: counts.tokens_predicted,
            ..OpenAiUsage::default()
        };
        Self::of_openai(&told, &counts.timings.0)
    }

    /// Adds the counts of an answer to another prompt of the same request. Their times overlap, so the sum has none.
    pub(crate) fn plus(self, other: Self) -> Self {
        let both = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
            cached: both(self.cached, other.cached),
            cached_is_estimated: self.cached_is_estimated || other.cached_is_estimated,
            reasoning: both(self.reasoning, other.reasoning),
            timing: Timing::default(),
        }
    }
}

// === impl Timing ===

impl Timing {
    /// Reads llama.cpp's `timings`.
    pub(crate) fn of_llama(timings: &LlamaTimings) -> Self {
        let pace = |tokens: ReportedNumber, millis: ReportedNumber| {
            let millis = millis.real()?;
            Some(TimedTokens {
                tokens: tokens.whole()?,
                took: Duration::try_from_secs_f64(millis / 1000.0).ok()?,
            })
        };
        let prompt = pace(timings.prompt_n, timings.prompt_ms);
        Self {
            prompt,
            cache_left_out: prompt.is_some(),
            output: pace(timings.predicted_n, timings.predicted_ms),
        }
    }

    /// Ollama's nanoseconds (0.33). Its count of the prompt has cached tokens in it, its time has
    /// not.
    pub fn of_ollama(
        prompt: (Option<u64>, Option<u64>),
        output: (Option<u64>, Option<u64>),
    ) -> Self {
        let pace = |(tokens, nanos): (Option<u64>, Option<u64>)| {
            Some(TimedTokens {
                tokens: tokens?,
                took: Duration::from_nanos(nanos?),
            })
        };
        Self {
            prompt: pace(prompt),
            cache_left_out: false,
            output: pace(output),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn odd_counts_are_no_counts() {
        let of = |told: Value| {
            let told = ReportedObject::deserialize(&told).unwrap().0;
            let usage = Usage::of_openai(&told, &LlamaTimings::default())?;
            Some((usage.prompt, usage.completion, usage.cached))
        };
        for (told, counts) in [
            (
                json!({"prompt_tokens": 3, "completion_tokens": 4}),
                Some((3, 4, None)),
            ),
            (json!({"prompt_tokens": 3}), Some((3, 0, None))),
            (
                json!({"prompt_tokens": 3, "completion_tokens": null, "prompt_tokens_details": null}),
                Some((3, 0, None)),
            ),
            (
                json!({"prompt_tokens": 3, "completion_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": 2}}),
                Some((3, 4, Some(2))),
            ),
            (
                json!({"prompt_tokens": 3, "completion_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": "2"}, "completion_tokens_details": 7}),
                Some((3, 4, None)),
            ),
            (json!({"prompt_tokens": 7.0, "completion_tokens": 4}), None),
            (json!({"prompt_tokens": -1, "completion_tokens": 4}), None),
            (json!({"prompt_tokens": "7", "completion_tokens": 4}), None),
            (
                json!({"prompt_tokens": 3, "completion_tokens": u64::MAX}),
                None,
            ),
            (
                json!({"prompt_tokens": null, "completion_tokens": null}),
                None,
            ),
            (json!({}), None),
            (json!(null), None),
            (json!("none"), None),
            (json!([1]), None),
            (json!(7), None),
        ] {
            assert_eq!(of(told.clone()), counts, "{told}");
        }
    }

    #[test]
    fn of_a_count_that_stands_twice_the_last_one_counts() {
        let told = r#"{"prompt_tokens":1,"prompt_tokens":3,"completion_tokens":4,"x":[1],
            "prompt_tokens_details":null,"prompt_tokens_details":{"cached_tokens":9,"cached_tokens":2},
            "\u0063ompletion_tokens":5}"#;
        let told: ReportedObject<OpenAiUsage> = serde_json::from_str(told).unwrap();
        let usage = Usage::of_openai(&told.0, &LlamaTimings::default()).unwrap();
        assert_eq!(
            (usage.prompt, usage.completion, usage.cached),
            (3, 5, Some(2))
        );
    }

    #[test]
    fn cached_tokens_are_read_where_an_engine_has_them() {
        let told = json!({"prompt_tokens": 100, "completion_tokens": 4});
        let of = |told: &Value, timings: Value| {
            let usage = ReportedObject::deserialize(told).unwrap().0;
            let timings = ReportedObject::deserialize(&timings).unwrap().0;
            Usage::of_openai(&usage, &timings).unwrap().cached
        };
        assert_eq!(of(&told, json!({"cache_n": 90, "prompt_n": 10})), Some(90));
        // Before `cache_n`, the tokens that were read were all that it said.
        assert_eq!(of(&told, json!({"prompt_n": 30})), Some(70));
        assert_eq!(of(&told, json!({"cache_n": 101})), None);
        assert_eq!(of(&told, Value::Null), None);
        let both = json!({"prompt_tokens": 100, "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 60}});
        assert_eq!(of(&both, json!({"cache_n": 90})), Some(60));
    }

    #[test]
    fn llamas_milliseconds_are_read_and_odd_ones_are_none() {
        let told =
            json!({ "prompt_n": 100, "prompt_ms": 250.5, "predicted_n": 7, "predicted_ms": -1 });
        let read = |told: &Value| ReportedObject::deserialize(told).unwrap().0;
        let timing = Timing::of_llama(&read(&told));
        let pace = TimedTokens {
            tokens: 100,
            took: Duration::from_micros(250_500),
        };
        assert_eq!((timing.prompt, timing.output), (Some(pace), None));
        assert_eq!(Timing::of_llama(&read(&Value::Null)), Timing::default());
    }
}
