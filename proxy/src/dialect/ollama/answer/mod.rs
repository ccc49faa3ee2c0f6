//! Answers in Ollama's format: chat events become lines of JSON, and whole completions one document.
//!
//! ```text
//! data: {"choices":[{"delta":{"content":"Hi"}}]}
//! {"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"Hi"},"done":false}
//! ```

pub(super) mod answer_end;
mod calls;
pub(super) mod line;
pub(super) mod transcoder;
pub(super) mod vectors;
pub(super) mod whole;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod tests;
