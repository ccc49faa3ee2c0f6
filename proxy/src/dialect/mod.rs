//! Wire formats: what OpenAI clients send, and its translation to Ollama's native API and back.
//!
//! Everything here is a function of bytes; nothing sends or waits.

pub(crate) mod call_ids;
pub mod engine_error;
mod lmstudio;
pub(crate) mod messages;
mod numbers;
pub mod ollama;
pub mod openai;
mod stop;
pub(crate) mod thinking;
pub(crate) mod told_lengths;
pub(crate) mod tool_choice;
mod tools;
