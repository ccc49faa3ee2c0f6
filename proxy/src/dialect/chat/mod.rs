//! The chat format, in which client formats and engine formats meet: OpenAI's chat completions, a
//! request as its bytes and an answer as its events.

mod answer_writer;
mod cached_tokens;
pub(crate) mod chat_answer;
mod chat_request;
pub(crate) mod client_object;
pub(crate) mod event_data;
pub(crate) mod event_keys;
pub(crate) mod event_translator;
pub(crate) mod field_error;
pub(crate) mod field_path;
pub(crate) mod json_end;
pub(crate) mod json_text;
mod native_request;
mod request_task;
pub(crate) mod sampling;
mod shared_request;
pub(crate) mod thinking;
pub(crate) mod tool_choice;
pub mod transcoder;

pub use self::{
    answer_writer::AnswerWriter,
    chat_request::ChatRequest,
    native_request::{NativeApi, NativeRequest, ResidencyRequest},
    request_task::RequestTask,
    shared_request::{BegunStream, FailureWriter, SharedFormat, SharedRequest},
    transcoder::{ClientTranscoder, EngineTranscoder, StreamProgress, chained},
};
pub(crate) use self::{
    answer_writer::written,
    cached_tokens::{cached_at, cached_details, with_cached},
    chat_request::asks_for_usage,
};

/// The event that ends a stream of chat events.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";
