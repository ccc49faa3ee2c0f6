//! Answers in Anthropic's format: chat events and whole chat completions become messages and their events.
//!
//! A message is a list of content blocks, and in a stream one block is open at a time. Text and arguments
//! keep the JSON of the engine; only what an engine sends out of this order is held back until its turn.

mod block_writer;
mod call_queue;
mod message_end;
pub(super) mod transcoder;
pub(super) mod whole;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod tests;
