//! A whole answer, made of a whole completion.

use super::{
    answer_end::{AnswerClock, OllamaAnswerEnd},
    calls::CollectedCalls,
    line::LineHead,
    transcoder::AnswerPieces,
};
use crate::{
    dialect::chat::chat_answer::{ChatAnswer, ChatDelta},
    error::{Error, ErrorKind, UpstreamError},
};

/// Writes a completion as one document.
///
/// # Errors
/// The completion holds no answer.
pub(in crate::dialect::ollama) fn answer(
    completion: &str,
    head: &LineHead,
    clock: &AnswerClock,
    cap: usize,
) -> Result<String, Error> {
    let answer = ChatAnswer::of(completion)?;
    let choice = answer.choice().ok_or_else(|| {
        Error::new(
            ErrorKind::EngineError,
            "the engine's answer is no chat completion",
        )
        .upstream(UpstreamError::BadJson)
    })?;
    let mut end = OllamaAnswerEnd::default();
    end.take(&answer);
    let mut calls = CollectedCalls::new(cap);
    for call in choice.delta.iter().flat_map(ChatDelta::calls) {
        calls.push(&call)?;
    }
    let calls = calls.written(end.is_cut());
    let texts = AnswerPieces::of(choice);
    let mut out = String::with_capacity(completion.len() + 256);
    head.write_last(texts.piece(&calls), &end.facts(clock), &mut out);
    Ok(out)
}
