//! `OpenAI`'s responses, `POST /v1/responses`, without a store: every request holds its whole conversation.
//!
//! A request's items become messages of the chat format, and chat events become the events of a
//! response. `docs/responses.md` lists every field.
//!
//! ```text
//! {"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}
//! {"messages":[{"role":"user","content":"Hi"}],"model":"m"}
//! ```

mod chat_answer;
mod custom_input;
mod error;
mod event_data;
mod event_writer;
mod head;
mod item;
mod object;
mod open_call;
mod open_text;
mod output;
mod request;
mod tool_names;
mod transcoder;
mod whole;
mod writer;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::{
    chat::ChatRequest,
    client_dialect::{ClientDialect, ClientRequest},
    openai::error_document,
};
use crate::{endpoint::Endpoint, error::Error};

/// A comment of an event stream, which Codex and `OpenAI`'s clients ignore.
const COMMENT: &[u8] = b": crucible\n\n";

/// The format of `POST /v1/responses`.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses;

// === impl OpenAiResponses ===

impl ClientDialect for OpenAiResponses {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Responses
    }

    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        request::read(request)
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn error(&self, error: &Error) -> Bytes {
        error_document(error).to_string().into()
    }

    fn in_band(&self, error: &Error) -> Bytes {
        error::failed_at_once(error)
    }

    fn heartbeat(&self) -> Option<Bytes> {
        Some(Bytes::from_static(COMMENT))
    }
}
