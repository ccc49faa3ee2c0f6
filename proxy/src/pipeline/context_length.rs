//! The refusal of a prompt for its length: its recognition, and its words for the client.

use crate::{
    dialect::engine::engine_error::overflow_lengths,
    endpoint::Endpoint,
    error::{Error, ErrorKind, context_length::TooMuch},
    request::{ActiveRequest, RequestFacts},
};

/// The most characters of the engine's own words that a client is shown.
const SHOWN: usize = 300;

/// Decides whether a failure without a stated cause came from a prompt that is too long. That is
/// assumed where the estimated prompt has at least half of the context's tokens; else it stays a
/// failure of the engine.
pub(crate) fn judged(active: &ActiveRequest, error: Error) -> Error {
    let (context, estimate) = active.note(|record| (record.context, record.prompt_tokens));
    weighed(error, context, estimate)
}

fn weighed(mut error: Error, context: Option<u64>, estimate: u64) -> Error {
    let Some(overflow) = &mut error.overflow else {
        return error;
    };
    if overflow.counted.is_none()
        && let (Some(context), Some(beyond)) = (context, overflow.beyond)
    {
        overflow.counted = Some(context.saturating_add(beyond));
    }
    if overflow.suspected {
        let likely = context.is_some_and(|context| estimate.saturating_mul(2) >= context);
        if likely {
            error.kind = ErrorKind::ContextLengthExceeded;
        } else {
            error.overflow = None;
        }
    }
    error
}

/// Rewords the error of a prompt that an engine found too long, with the numbers that clients look
/// for; every other error stays as it is.
pub(crate) fn worded(active: &ActiveRequest, error: Error) -> Error {
    let error = judged(active, error);
    let Some(overflow) = error.overflow else {
        return error;
    };
    let record = active.facts();
    let much = too_much(&record, overflow.counted, &error.message);
    let begun = record.first_token_at.is_some();
    let engine = record.engine.as_deref().unwrap_or("the engine");
    let words: String = error.message.chars().take(SHOWN).collect();
    let hint = if begun {
        format!(
            "The answer filled what the prompt had left of the context of '{engine}' ({words}); \
             raise `context` of the model in crucible.toml, or start a shorter conversation."
        )
    } else {
        format!(
            "The limit is that of '{engine}' ({words}); raise `context` of the model in \
             crucible.toml, or load it there with more where Crucible loads nothing."
        )
    };
    let mut told = much.error(&hint);
    if active.endpoint == Endpoint::Completions {
        told = told.param("prompt");
    }
    told.overflow = Some(overflow);
    told.retry_after = error.retry_after;
    told.upstream = error.upstream;
    told
}

/// Returns the numbers for the message. They agree with the engine's finding: prompt and answer
/// together are more than the limit.
fn too_much(record: &RequestFacts, counted: Option<u64>, words: &str) -> TooMuch {
    let limit = record.context.or_else(|| overflow_lengths::limit(words));
    let over = limit.map_or(0, |limit| limit.saturating_add(1));
    let estimate = counted.unwrap_or(record.prompt_tokens);
    if record.first_token_at.is_some() || counted.is_some() {
        // The prompt is as long as it is; the answer takes it over the limit.
        let rest = over.saturating_sub(estimate);
        return TooMuch {
            limit,
            prompt: estimate,
            completion: record.reserve.max(rest),
        };
    }
    TooMuch {
        limit,
        prompt: estimate.max(over),
        completion: record.reserve,
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::EngineKind;
    use tokio::time::Instant;

    use super::*;
    use crate::error::Overflow;

    #[test]
    fn the_numbers_are_more_than_the_limit_whoever_tells_them() {
        let words = "request (9 tokens) exceeds the available context size (4096 tokens)";
        for (context, counted, estimate, reserve, begun, expected) in [
            (
                Some(4096),
                Some(4200),
                900,
                100,
                false,
                (Some(4096), 4200, 100),
            ),
            (Some(4096), None, 900, 100, false, (Some(4096), 4097, 100)),
            (Some(4096), None, 9000, 100, false, (Some(4096), 9000, 100)),
            (None, None, 900, 0, false, (Some(4096), 4097, 0)),
            // Its slots share it: there was less than it has.
            (
                Some(8192),
                Some(4200),
                900,
                100,
                false,
                (Some(8192), 4200, 3993),
            ),
            (Some(4096), None, 900, 100, true, (Some(4096), 900, 3197)),
        ] {
            let record = RequestFacts {
                context,
                prompt_tokens: estimate,
                reserve,
                first_token_at: begun.then(Instant::now),
                ..RequestFacts::default()
            };
            let much = too_much(&record, counted, words);
            assert_eq!((much.limit, much.prompt, much.completion), expected);
            assert!(much.prompt + much.completion > much.limit.unwrap());
        }
        let unknown = too_much(&RequestFacts::default(), None, "context overflow");
        assert_eq!((unknown.limit, unknown.prompt), (None, 0));
    }

    #[test]
    fn silence_is_a_long_prompt_only_where_the_prompt_may_be_long() {
        let silent = || Error::new(ErrorKind::EngineError, "x").silent(EngineKind::Lmstudio);
        for (context, estimate, long) in [
            (Some(4096), 3150, true),
            (Some(4096), 2048, true),
            (Some(4096), 2047, false),
            (Some(4096), 0, false),
            (None, 100_000, false),
        ] {
            let error = weighed(silent(), context, estimate);
            assert_eq!(error.overflow.is_some(), long, "{context:?} {estimate}");
            assert_eq!(error.kind == ErrorKind::ContextLengthExceeded, long);
        }
        let other = Error::new(ErrorKind::EngineError, "x").silent(EngineKind::Openai);
        assert_eq!(weighed(other, Some(1), 9).kind, ErrorKind::EngineError);
    }

    #[test]
    fn what_is_beyond_the_context_is_counted_from_it() {
        let counted = |context| {
            let mut error = Error::new(ErrorKind::ContextLengthExceeded, "x");
            error.overflow = Some(Overflow {
                beyond: Some(4),
                ..Overflow::default()
            });
            weighed(error, context, 9).overflow.unwrap().counted
        };
        assert_eq!(counted(Some(4096)), Some(4100));
        assert_eq!(counted(None), None);
    }
}
