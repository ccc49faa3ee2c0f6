//! The seam between an answer and a dialect.

use std::time::Duration;

use serde_json::Value;

use crate::generate::{Answer, Piece};
use crate::http::Reply;

/// The way in which events are told apart on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `data: ...` and an empty line.
    Sse,
    /// Each event is one line.
    Ndjson,
}

/// The figures of an answer that are known at its end.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) finish: &'static str,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) thinking_tokens: u64,
    pub(crate) calls: u64,
    pub(crate) total: Duration,
    pub(crate) load: Duration,
    pub(crate) prefill: Duration,
    pub(crate) generation: Duration,
}

/// Writes one answer in one dialect. Every text is one event's payload.
pub(crate) trait Encode: Send {
    fn framing(&self) -> Framing;
    /// Before the first token.
    fn open(&mut self) -> Vec<String>;
    /// The events that tell how far the prompt is read (llama-server's `prompt_progress`).
    fn progress(&mut self, _progress: &Value) -> Vec<String> {
        Vec::new()
    }
    /// A token or a call.
    fn piece(&mut self, piece: &Piece) -> Vec<String>;
    /// The events of the proper end.
    fn close(&mut self, totals: &Totals) -> Vec<String>;
    /// An engine's failure after the first event.
    fn error(&mut self, message: &str) -> Vec<String>;
    /// The answer as one document, where none is streamed.
    fn whole(&mut self, answer: &Answer, totals: &Totals) -> Value;
    /// A failure before the first event, or of a non-streamed answer.
    fn failed(&self, message: &str) -> Reply;
}

// === impl Framing ===

impl Framing {
    pub(crate) fn frame(self, payload: &str) -> String {
        match self {
            Self::Sse => format!("data: {payload}\n\n"),
            Self::Ndjson => format!("{payload}\n"),
        }
    }

    pub(crate) fn comment(self) -> &'static str {
        match self {
            Self::Sse => ": keep-alive\n\n",
            Self::Ndjson => "\n",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// Thinking, text and calls of an answer.
pub(crate) fn joined(answer: &Answer) -> (String, String, Vec<&crate::generate::ToolCall>) {
    let (mut thinking, mut text, mut calls) = (String::new(), String::new(), Vec::new());
    for piece in &answer.pieces {
        match piece {
            Piece::Thinking(part) => thinking.push_str(part),
            Piece::Text(part) => text.push_str(part),
            Piece::Call(call) => calls.push(call),
        }
    }
    (thinking, text, calls)
}
