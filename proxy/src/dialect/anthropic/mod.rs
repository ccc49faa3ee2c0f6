//! Anthropic's messages: `POST /v1/messages`, `POST /v1/messages/count_tokens`, and the list of models as
//! its clients read it.
//!
//! [`request`] reads a request into a chat request, [`answer`] writes chat events and completions as
//! messages. Every field and what becomes of it stands in `docs/messages.md`.

mod answer;
mod error;
pub(crate) mod models;
mod request;
mod request_facts;
mod writer;

use bytes::Bytes;
use http::HeaderName;

use super::{
    chat::ChatRequest,
    client_dialect::{ClientDialect, ClientRequest},
};
use crate::{endpoint::Endpoint, error::Error};

/// The event that keeps a waiting client's connection alive. Clients count it as a sign of life, which a
/// comment is not to all of them.
const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// The header in which Anthropic's SDKs look for the id of a request (2.14).
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Anthropic's format. Its paths differ by the label under which they are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnthropicMessages {
    endpoint: Endpoint,
}

/// The format of `POST /v1/messages`.
pub(crate) static MESSAGES: AnthropicMessages = AnthropicMessages {
    endpoint: Endpoint::Messages,
};

/// The format of the other paths that Anthropic's clients ask.
pub(crate) static OTHER_PATHS: AnthropicMessages = AnthropicMessages {
    endpoint: Endpoint::Other,
};

// === impl AnthropicMessages ===

impl ClientDialect for AnthropicMessages {
    fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        request::read(request)
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn error(&self, error: &Error) -> Bytes {
        error::error_document(error).to_string().into()
    }

    fn in_band(&self, error: &Error) -> Bytes {
        format!("event: error\ndata: {}\n\n", error::error_document(error)).into()
    }

    fn heartbeat(&self) -> Option<Bytes> {
        Some(Bytes::from_static(PING))
    }

    fn request_id_header(&self) -> Option<HeaderName> {
        Some(REQUEST_ID)
    }
}
