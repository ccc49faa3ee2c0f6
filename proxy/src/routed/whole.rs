//! An answer that is one JSON, as the engine wrote it.

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    app::exchange::Exchange,
    dialect::engine_error::error_in_success,
    error::{Error, Kind},
    metrics::UpstreamError,
    relay::transcode::{Timing, Usage},
};

/// Usage and hidden errors of an answer that is one JSON.
pub(super) fn read_whole(
    kind: EngineKind,
    exchange: &Exchange,
    whole: &Bytes,
) -> Result<(), Error> {
    // Most answers hold no such word, and their tree is never needed.
    if memchr::memmem::find(whole, b"\"error\"").is_some()
        && let Some(error) = error_in_success(kind, whole)
    {
        return Err(error);
    }
    let answer: Answer = serde_json::from_slice(whole).map_err(|_| {
        Error::new(
            Kind::EngineError,
            "the engine's answer is not the JSON of a chat completion",
        )
        .upstream(UpstreamError::BadJson)
    })?;
    if answer.choices.is_empty() {
        return Err(Error::new(
            Kind::EngineError,
            "the engine's answer has no choices; LM Studio gives such a one when the prompt is \
             longer than its context",
        )
        .upstream(UpstreamError::BadJson));
    }
    exchange.note(|record| {
        record.answered_at = Some(Instant::now());
        record.usage = answer.usage.map(|usage| Usage {
            prompt: usage.prompt_tokens,
            completion: usage.completion_tokens,
            cached: usage.prompt_tokens_details.and_then(|d| d.cached_tokens),
            reasoning: usage
                .completion_tokens_details
                .and_then(|d| d.reasoning_tokens),
            timing: Timing::of_llama(&answer.timings),
        });
    });
    Ok(())
}

/// What is read of a whole answer; the rest passes unseen.
#[derive(serde::Deserialize)]
struct Answer {
    /// Present in every chat completion.
    choices: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    usage: Option<Counts>,
    /// llama.cpp's.
    #[serde(default)]
    timings: Value,
}

/// Its token counts; details as OpenAI's API and LM Studio 0.4 name them.
#[derive(serde::Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(serde::Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(serde::Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}
