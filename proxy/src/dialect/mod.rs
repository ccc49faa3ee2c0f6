//! Wire formats: what OpenAI clients send, and its translation to Ollama's native API and back.
//!
//! Everything here is a function of bytes; nothing sends or waits.

pub mod engine_error;
mod lmstudio;
mod numbers;
pub mod ollama;
pub mod openai;
pub(crate) mod told_lengths;
pub(crate) mod tool_choice;
