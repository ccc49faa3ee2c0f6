//! OpenAI chat over Ollama's `/api/chat` (Ollama 0.33).
//!
//! Its own OpenAI layer loses the context size, `max_completion_tokens`, overflow and mid-stream
//! errors; the native API keeps them.

pub mod request;
pub mod response;
