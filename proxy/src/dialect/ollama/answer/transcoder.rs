//! The stream of an answer: chat events become lines.
//!
//! Text and thinking go on as they come, with the engine's own escapes; only what would end a line is
//! rewritten. Calls are collected and stand in a line of their own before the last one. The last line is `done`, or an error that takes its place.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    answer_end::{AnswerClock, OllamaAnswerEnd},
    calls::CollectedCalls,
    line::{LineHead, LinePiece},
};
use crate::{
    dialect::chat::{
        chat_answer::{AnswerTexts, ChatAnswer, ChatChoice, ChatDelta},
        event_translator::EventTranslator,
    },
    error::Error,
};

/// Writes the lines of one answer.
#[derive(Debug)]
pub(in crate::dialect::ollama) struct LineTranslator {
    head: LineHead,
    clock: AnswerClock,
    calls: CollectedCalls,
    end: OllamaAnswerEnd,
    out: String,
}

/// What a choice says. A refusal in words is said as every other text.
#[derive(Debug)]
pub(super) struct AnswerPieces<'a> {
    content: Cow<'a, str>,
    thinking: Cow<'a, str>,
    logprobs: &'a str,
}

// === impl LineTranslator ===

impl LineTranslator {
    /// Makes the translator of one answer; `cap` is the most bytes of all calls.
    pub(in crate::dialect::ollama) fn new(head: LineHead, clock: AnswerClock, cap: usize) -> Self {
        Self {
            head,
            clock,
            calls: CollectedCalls::new(cap),
            end: OllamaAnswerEnd::default(),
            out: String::new(),
        }
    }
}

impl EventTranslator for LineTranslator {
    fn answer(&mut self, answer: &ChatAnswer<'_>) -> Result<(), Error> {
        self.end.take(answer);
        let Some(choice) = answer.choice() else {
            return Ok(());
        };
        let texts = AnswerPieces::of(choice);
        let piece = texts.piece("");
        if !piece.is_empty() {
            self.clock.token();
            self.head.write(piece, &mut self.out);
        }
        for call in choice.delta.iter().flat_map(ChatDelta::calls) {
            self.clock.token();
            self.calls.push(&call)?;
        }
        Ok(())
    }

    fn end(&mut self) {
        let calls = self.calls.written(self.end.is_cut());
        let piece = LinePiece {
            calls: &calls,
            ..LinePiece::default()
        };
        if !piece.is_empty() {
            self.head.write(piece, &mut self.out);
        }
        let facts = self.end.facts(&self.clock);
        self.head
            .write_last(LinePiece::default(), &facts, &mut self.out);
        self.out.push('\n');
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.out.is_empty() {
            return None;
        }
        let written = Bytes::copy_from_slice(self.out.as_bytes());
        self.out.clear();
        Some(written)
    }
}

// === impl AnswerPieces ===

impl<'a> AnswerPieces<'a> {
    /// Reads the texts of a choice.
    pub(super) fn of(choice: &ChatChoice<'a>) -> Self {
        let texts = choice.delta.as_ref().map(ChatDelta::texts);
        let AnswerTexts {
            thoughts,
            text,
            refusal,
        } = texts.unwrap_or_default();
        let said = if text.is_empty() { refusal } else { text };
        Self {
            content: if said.is_empty() {
                choice.raw_text().into()
            } else {
                said
            },
            thinking: thoughts,
            logprobs: choice.logprobs(),
        }
    }

    /// Returns the piece of a line with these calls.
    pub(super) fn piece<'b>(&'b self, calls: &'b str) -> LinePiece<'b> {
        LinePiece {
            content: &self.content,
            thinking: &self.thinking,
            calls,
            logprobs: self.logprobs,
        }
    }
}
