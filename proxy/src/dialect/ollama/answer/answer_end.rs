//! The end of an answer: why it stopped, its token counts and its times.
//!
//! A time is the engine's own where it tells one (llama.cpp's `timings`). Crucible measures the others: all of them in a
//! stream, and of a whole answer the wait before it. What nobody knows is left out, as Ollama leaves out what is zero.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{
    dialect::chat::chat_answer::{AnswerEnd, ChatAnswer, ChatChoice},
    usage::Usage,
};

/// The moments of one answer that Crucible saw.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect::ollama) struct AnswerClock {
    /// The request was read.
    read: Instant,
    /// The engine was asked, after the wait for a permit and perhaps a load.
    asked: Option<Instant>,
    /// The first token came.
    first: Option<Instant>,
}

/// Why an answer ended, and what it cost.
#[derive(Debug, Default)]
pub(super) struct OllamaAnswerEnd {
    finish: Option<AnswerEnd>,
    usage: Option<Usage>,
}

// === impl AnswerClock ===

impl AnswerClock {
    /// Starts when a request was read.
    pub(in crate::dialect::ollama) fn start() -> Self {
        Self {
            read: Instant::now(),
            asked: None,
            first: None,
        }
    }

    /// Returns the clock of an attempt that begins now.
    #[must_use]
    pub(in crate::dialect::ollama) fn asking(self) -> Self {
        Self {
            asked: Some(Instant::now()),
            ..self
        }
    }

    /// Notes that a token came.
    pub(super) fn token(&mut self) {
        self.first.get_or_insert_with(Instant::now);
    }

    fn load(&self) -> Option<Duration> {
        Some(self.asked?.duration_since(self.read))
    }

    fn prompt(&self) -> Option<Duration> {
        Some(self.first?.duration_since(self.asked?))
    }

    fn output(&self) -> Option<Duration> {
        Some(self.first?.elapsed())
    }

    /// Returns the time since the request was read.
    pub(super) fn total(&self) -> Duration {
        self.read.elapsed()
    }
}

// === impl OllamaAnswerEnd ===

impl OllamaAnswerEnd {
    /// Takes what an event, or a whole completion, says about the end.
    pub(super) fn take(&mut self, answer: &ChatAnswer<'_>) {
        self.usage = answer.usage().or(self.usage);
        let finish = answer.choice().and_then(ChatChoice::end);
        self.finish = finish.or(self.finish);
    }

    /// Reports whether the answer was cut at its limit.
    pub(super) fn is_cut(&self) -> bool {
        self.finish == Some(AnswerEnd::Length)
    }

    /// Returns the members of the last line behind `done`.
    pub(super) fn facts(&self, clock: &AnswerClock) -> String {
        let reason = if self.is_cut() { "length" } else { "stop" };
        let mut out = format!(r#","done_reason":"{reason}""#);
        let usage = self.usage.unwrap_or_default();
        let took = |timed: Option<crucible_router::measurements::TimedTokens>| {
            timed.map(|timed| timed.took)
        };
        duration("total_duration", Some(clock.total()), &mut out);
        duration("load_duration", clock.load(), &mut out);
        count("prompt_eval_count", usage.prompt, &mut out);
        let prompt = took(usage.timing.prompt).or_else(|| clock.prompt());
        duration("prompt_eval_duration", prompt, &mut out);
        count("eval_count", usage.completion, &mut out);
        let output = took(usage.timing.output).or_else(|| clock.output());
        duration("eval_duration", output, &mut out);
        out
    }
}

/// Appends a duration in nanoseconds, where it is known and longer than none.
pub(super) fn duration(name: &str, took: Option<Duration>, out: &mut String) {
    let nanos = took.map_or(0, |took| took.as_nanos());
    if nanos > 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, r#","{name}":{nanos}"#);
    }
}

/// Appends a count, where it is more than none.
pub(super) fn count(name: &str, count: u64, out: &mut String) {
    if count > 0 {
        let _ = write!(out, r#","{name}":{count}"#);
    }
}
