//! The wire formats that engines speak: how a request is written for them, and how their answers are
//! read.
//!
//! An engine format is one folder here, behind the trait `EngineFormat`. The profile of a kind says which
//! format it speaks, and `format_of` is the table of formats: a new one is a folder and a line of that
//! table. A new kind that speaks OpenAI's chat completions is a constant in [`openai::quirks`].

#[cfg(test)]
mod append_only;
pub(crate) mod call_ids;
mod completion;
pub(crate) mod document;
mod embeddings;
pub mod engine_error;
mod engine_format;
pub(crate) mod fields;
pub(crate) mod messages;
pub(crate) mod native_completion;
pub mod ollama;
pub mod openai;
pub(crate) mod passthrough;
mod rerank;
#[cfg(test)]
pub(crate) mod testing;
mod validate_chat;
mod watched_stream;

use crucible_config::{checked::EngineKind, engine_profile::EngineWire};

pub(crate) use self::engine_format::{AnswerShape, EngineFormat, EngineTarget};
use self::{ollama::OllamaChat, openai::OpenAiEngine};

/// Returns the format in which engines of a kind are asked and answer.
pub(crate) fn format_of(kind: EngineKind) -> &'static dyn EngineFormat {
    match kind.profile().wire {
        EngineWire::OllamaNative => &OllamaChat,
        EngineWire::OpenAi => OpenAiEngine::of(kind),
    }
}
