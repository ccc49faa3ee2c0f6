//! Wire formats: what OpenAI clients send, and its translation to Ollama's native API and back.
//!
//! Everything here is a function of bytes; nothing sends or waits.

pub mod engine;
pub mod transcode;
