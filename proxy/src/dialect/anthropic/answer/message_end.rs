//! The end of a message: why it stopped and its token counts.

use crate::{
    dialect::chat::{chat_answer::AnswerEnd, json_text::quoted},
    usage::Usage,
};

/// Why an answer ended, and what it cost.
#[derive(Debug, Default)]
pub(super) struct MessageEnd {
    /// The engine's word for the end, once it has come.
    end: Option<AnswerEnd>,
    /// The stop sequence that ended it, where the engine names it.
    stop_sequence: Option<String>,
    /// The model refused in words.
    pub(super) is_refusal: bool,
    usage: Option<Usage>,
}

// === impl MessageEnd ===

impl MessageEnd {
    /// Takes the end of an answer, and vLLM's word for what ended it.
    pub(super) fn finished(&mut self, end: AnswerEnd, named: Option<String>, stops: &[String]) {
        self.end = Some(end);
        self.stop_sequence = named.filter(|named| stops.contains(named));
    }

    /// Takes the token counts of the answer.
    pub(super) fn counted(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// Returns the JSON of `stop_reason` and `stop_sequence`. A message with calls ends in `tool_use`,
    /// unless the arguments of one are cut, whatever the engine says of the end: a client must not run it.
    pub(super) fn reason(&self, (calls, is_cut): (usize, bool)) -> (&'static str, String) {
        let stop = self.stop_sequence.as_ref();
        let reason = match self.end {
            _ if calls > 0 && !is_cut => "tool_use",
            Some(AnswerEnd::Filter) => "refusal",
            Some(AnswerEnd::Length) => "max_tokens",
            _ if is_cut => "max_tokens",
            _ if self.is_refusal => "refusal",
            _ if stop.is_some() => "stop_sequence",
            Some(AnswerEnd::Done) | None => "end_turn",
        };
        let stop = stop.filter(|_| reason == "stop_sequence");
        (
            reason,
            stop.map_or_else(|| "null".to_owned(), |stop| quoted(stop)),
        )
    }

    /// Returns the JSON of `usage`. Tokens that were read from the engine's cache are counted apart, as
    /// Anthropic does; `estimate` stands for the prompt where the engine told nothing.
    pub(super) fn usage(&self, estimate: u64) -> String {
        let Some(usage) = self.usage else {
            return usage_json(estimate, 0, 0);
        };
        let cached = usage.cached.unwrap_or(0);
        usage_json(
            usage.prompt.saturating_sub(cached),
            cached,
            usage.completion,
        )
    }
}

/// Returns the JSON of `usage` with these counts.
pub(super) fn usage_json(input: u64, cached: u64, output: u64) -> String {
    format!(
        r#"{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":{cached},"output_tokens":{output}}}"#
    )
}
