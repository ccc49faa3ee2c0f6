//! `OpenAI`'s responses, `POST /v1/responses`, without a store: every request holds its whole conversation.
//!
//! A request's items become messages of the chat format, and chat events become the events of a
//! response. `docs/responses.md` lists every field.
//!
//! ```text
//! {"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}
//! {"messages":[{"role":"user","content":"Hi"}],"model":"m"}
//! ```

mod custom_input;
mod error;
mod event_writer;
mod head;
mod item;
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
use http::HeaderMap;

use super::{
    chat::ChatRequest,
    client_dialect::{ClientDialect, ClientRequest},
    openai::error_document,
};
use crate::{endpoint::Endpoint, error::Error};

/// A comment of an event stream, which `OpenAI`'s clients ignore.
const COMMENT: &[u8] = b": crucible\n\n";

/// An event that means nothing and that Codex ignores. Its clock (`stream_idle_timeout_ms`, 300 s) hears
/// events and no comments (0.171, tried), while the prompt of an agent takes a CPU longer to read.
const KEEPALIVE: &[u8] = b"event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n";

/// The header in which a client names itself.
const ORIGINATOR: &str = "originator";

/// The format of `POST /v1/responses`.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses {
    /// Whether the client is Codex, which takes some events otherwise than the specification.
    for_codex: bool,
}

/// Returns the format as the client with these headers takes it.
pub fn of_client(headers: &HeaderMap) -> &'static dyn ClientDialect {
    const PLAIN: &OpenAiResponses = &OpenAiResponses { for_codex: false };
    const CODEX: &OpenAiResponses = &OpenAiResponses { for_codex: true };
    let name = headers.get(ORIGINATOR);
    if name.is_some_and(|name| name.as_bytes().starts_with(b"codex")) {
        CODEX
    } else {
        PLAIN
    }
}

// === impl OpenAiResponses ===

impl ClientDialect for OpenAiResponses {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Responses
    }

    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        request::read(request, self.for_codex)
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
        Some(Bytes::from_static(if self.for_codex {
            KEEPALIVE
        } else {
            COMMENT
        }))
    }
}
