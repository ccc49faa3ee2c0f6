//! The wire formats that engines speak: how a request is written for them, and how their answers
//! are read.

pub(crate) mod call_ids;
pub mod engine_error;
pub(crate) mod messages;
pub mod ollama;
pub mod openai;
pub(crate) mod thinking;
pub(crate) mod told_lengths;
