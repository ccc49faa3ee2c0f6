//! The sample that a whole answer gives the predictor: the engine's own numbers where it tells
//! them, else those of Crucible's clock.

use crucible_router::{
    measurements::{AnswerLength, AnswerSample, TimedTokens},
    plan::Reason,
};
use http::StatusCode;

use crate::request::RequestFacts;

/// The sample of a finished request; `None` for anything but a whole answer with status 200 that was
/// generated. Vectors would teach that answers are short and quick.
pub(crate) fn of(record: &RequestFacts) -> Option<AnswerSample> {
    if record.is_document
        || record.error.is_some()
        || record.abort.is_some()
        || record.status != Some(StatusCode::OK)
    {
        return None;
    }
    let (sent_at, answered_at) = (record.sent_at?, record.answered_at?);
    let usage = record.usage;
    let timing = usage.map(|usage| usage.timing).unwrap_or_default();
    // An estimate rests on the rate that is learned here, and teaches nothing of it.
    let cached = usage.and_then(|usage| usage.cached.filter(|_| !usage.cached_is_estimated));
    let cache_unknown = !timing.cache_left_out && cached.is_none();
    let own_prompt = || {
        // An engine that tells no usage is measured in tokens of 4 bytes.
        let counted = usage.map(|u| u.prompt.saturating_sub(cached.unwrap_or(0)));
        Some(TimedTokens {
            tokens: counted.or(record.prompt.estimate)?,
            took: record.first_token_at?.checked_duration_since(sent_at)?,
        })
    };
    let own_time = |told: TimedTokens| {
        let left_out = timing.cache_left_out;
        let cached = cached.filter(|_| !left_out).unwrap_or(0);
        TimedTokens {
            tokens: told.tokens.saturating_sub(cached),
            ..told
        }
    };
    let reported = timing
        .prompt
        .map(own_time)
        .or_else(|| reported_prompt(record));
    let prompt = reported.or_else(own_prompt);
    Some(AnswerSample {
        engine: record.engine.clone()?,
        model: record.model.clone()?,
        client: record.client.clone(),
        model_was_chosen: matches!(record.reason, Some(Reason::Predicted | Reason::Sticky)),
        estimated_prompt_tokens: record.prompt.estimate,
        prompt_tokens: usage.map(|usage| usage.prompt),
        prompt_time: prompt.filter(|_| !(cache_unknown && record.prompt.later_turn)),
        cache_unknown,
        answer_length: usage.map(|usage| AnswerLength {
            tokens: usage.completion,
            cut_short: record
                .max_tokens
                .is_some_and(|most| usage.completion >= most),
        }),
        output_time: timing.output.or_else(|| own_output(record)),
        context_need: record.configured_context.map(|configured| {
            let prompt = usage.map_or(record.prompt_tokens, |usage| usage.prompt);
            (prompt.saturating_add(record.reserve), configured)
        }),
        service_time: answered_at.saturating_duration_since(sent_at),
    })
}

/// The tokens of the answer after the first, and the time in which they came.
fn own_output(record: &RequestFacts) -> Option<TimedTokens> {
    Some(TimedTokens {
        tokens: record.usage?.completion.saturating_sub(1),
        took: record.output_time?,
    })
}

/// The tokens and the time of the engine's last report on the reading of the prompt.
fn reported_prompt(record: &RequestFacts) -> Option<TimedTokens> {
    let progress = record.reading?.progress;
    Some(TimedTokens {
        tokens: progress.read().into(),
        took: progress.time()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{
        error::ErrorKind,
        usage::{Timing, Usage},
    };

    /// Sent at 0 s, first token at 2 s, whole at 6 s; 1000 tokens in, 41 out.
    fn record() -> RequestFacts {
        let start = Instant::now();
        RequestFacts {
            engine: Some("e".into()),
            model: Some("m".into()),
            status: Some(StatusCode::OK),
            sent_at: Some(start),
            first_token_at: Some(start + Duration::from_secs(2)),
            answered_at: Some(start + Duration::from_secs(6)),
            output_time: Some(Duration::from_secs(4)),
            usage: Some(Usage {
                prompt: 1000,
                completion: 41,
                ..Usage::default()
            }),
            ..RequestFacts::default()
        }
    }

    fn pace(tokens: u64, seconds: u64) -> TimedTokens {
        let took = Duration::from_secs(seconds);
        TimedTokens { tokens, took }
    }

    #[test]
    fn without_numbers_of_the_engine_the_own_clock_counts() {
        let sample = of(&record()).unwrap();
        assert_eq!(
            (sample.prompt_time, sample.output_time),
            (Some(pace(1000, 2)), Some(pace(40, 4)))
        );
        assert_eq!(sample.service_time, Duration::from_secs(6));
        assert!(sample.cache_unknown);
    }

    #[test]
    fn vectors_teach_nothing_of_answers() {
        let mut record = record();
        record.is_document = true;
        assert!(of(&record).is_none());
    }

    #[test]
    fn the_engines_numbers_go_first() {
        let mut record = record();
        record.usage.as_mut().unwrap().timing = Timing {
            prompt: Some(pace(600, 1)),
            cache_left_out: true,
            output: Some(pace(41, 3)),
        };
        record.prompt.later_turn = true;
        let sample = of(&record).unwrap();
        assert_eq!(
            (sample.prompt_time, sample.output_time),
            (Some(pace(600, 1)), Some(pace(41, 3)))
        );
    }

    #[test]
    fn without_usage_the_estimate_is_the_measure() {
        let mut record = record();
        record.usage = None;
        assert_eq!(of(&record).unwrap().prompt_time, None);
        record.prompt.estimate = Some(900);
        let sample = of(&record).unwrap();
        assert_eq!(
            (sample.prompt_time, sample.output_time),
            (Some(pace(900, 2)), None)
        );
        assert_eq!(sample.prompt_tokens, None);
    }

    #[test]
    fn a_later_turn_teaches_no_prompt_rate_unless_the_cache_is_told() {
        let mut record = record();
        record.prompt.later_turn = true;
        assert_eq!(of(&record).unwrap().prompt_time, None);
        record.usage.as_mut().unwrap().cached = Some(900);
        assert_eq!(of(&record).unwrap().prompt_time, Some(pace(100, 2)));
    }

    #[test]
    fn a_cached_prompt_is_no_fast_prompt() {
        let mut record = record();
        record.prompt.later_turn = true;
        let usage = record.usage.as_mut().unwrap();
        // The count holds the cached tokens, the time does not.
        usage.timing.prompt = Some(pace(1000, 1));
        usage.cached = Some(950);
        let sample = of(&record).unwrap();
        assert_eq!(sample.prompt_time, Some(pace(50, 1)));
        assert!(!sample.cache_unknown);
        record.usage.as_mut().unwrap().cached_is_estimated = true;
        let sample = of(&record).unwrap();
        assert_eq!(sample.prompt_time, None);
        assert!(sample.cache_unknown);
    }

    #[test]
    fn only_whole_answers_teach() {
        let failed = RequestFacts {
            error: Some(ErrorKind::EngineCut),
            ..record()
        };
        let left = RequestFacts {
            answered_at: None,
            ..record()
        };
        let refused = RequestFacts {
            status: Some(StatusCode::BAD_GATEWAY),
            ..record()
        };
        for record in [failed, left, refused] {
            assert_eq!(of(&record), None);
        }
    }
}
