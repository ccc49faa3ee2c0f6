//! How an answer goes out: encoders of each dialect, and the player that paces them and lets
//! faults act on the bytes.

pub(crate) mod encode;
pub(crate) mod openai;
pub(crate) mod play;
pub(crate) mod read;
mod stream;
