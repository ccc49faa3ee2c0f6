//! The end of a message: why it stopped and its token counts.

use serde_json::{Value, value::RawValue};

/// Why an answer ended, and what it cost.
#[derive(Debug, Default)]
pub(super) struct MessageEnd {
    finish: String,
    /// The stop sequence that ended it, where the engine names it.
    stop_sequence: Option<String>,
    /// The model refused in words.
    pub(super) is_refusal: bool,
    usage: Option<Tokens>,
}

/// The token counts of a chat completion.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    prompt: u64,
    cached: u64,
    completion: u64,
}

// === impl MessageEnd ===

impl MessageEnd {
    /// Takes a `finish_reason`, and vLLM's `stop_reason` beside it.
    pub(super) fn finished(&mut self, reason: &str, stop: Option<&RawValue>, stops: &[String]) {
        if reason.is_empty() {
            return;
        }
        reason.clone_into(&mut self.finish);
        let named = stop.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        self.stop_sequence = named.filter(|named| stops.contains(named));
    }

    /// Takes the token counts of a chat completion, and llama.cpp's timings beside them.
    pub(super) fn counted(&mut self, usage: &RawValue, timings: Option<&RawValue>) {
        let Ok(usage) = serde_json::from_str::<Value>(usage.get()) else {
            return;
        };
        let (Some(prompt), Some(completion)) = (
            usage["prompt_tokens"].as_u64(),
            usage["completion_tokens"].as_u64(),
        ) else {
            return;
        };
        let reused = || {
            let timings: Value = serde_json::from_str(timings?.get()).ok()?;
            timings["cache_n"].as_u64()
        };
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64();
        let cached = cached.or_else(reused).unwrap_or(0).min(prompt);
        self.usage = Some(Tokens {
            prompt,
            cached,
            completion,
        });
    }

    /// Returns the JSON of `stop_reason` and `stop_sequence`. A message with calls ends in `tool_use`,
    /// unless it was cut within the arguments of one.
    pub(super) fn reason(&self, (calls, whole): (usize, bool)) -> (&'static str, String) {
        let is_cut = self.finish == "length";
        let stop = self.stop_sequence.as_ref();
        let reason = match &*self.finish {
            _ if calls > 0 && (whole || !is_cut) => "tool_use",
            "length" => "max_tokens",
            "content_filter" => "refusal",
            _ if self.is_refusal => "refusal",
            _ if stop.is_some() => "stop_sequence",
            _ => "end_turn",
        };
        let stop = stop.filter(|_| reason == "stop_sequence");
        (
            reason,
            stop.map_or_else(
                || "null".to_owned(),
                |stop| Value::from(&**stop).to_string(),
            ),
        )
    }

    /// Returns the JSON of `usage`. Tokens that were read from the engine's cache are counted apart, as
    /// Anthropic does; `estimate` stands for the prompt where the engine told nothing.
    pub(super) fn usage(&self, estimate: u64) -> String {
        let tokens = self.usage.unwrap_or(Tokens {
            prompt: estimate,
            cached: 0,
            completion: 0,
        });
        usage_json(
            tokens.prompt - tokens.cached,
            tokens.cached,
            tokens.completion,
        )
    }
}

/// Returns the JSON of `usage` with these counts.
pub(super) fn usage_json(input: u64, cached: u64, output: u64) -> String {
    format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":{cached},"output_tokens":{output}}}"#
    )
}
