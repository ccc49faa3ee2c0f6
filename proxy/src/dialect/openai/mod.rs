//! OpenAI's chat completions, the client format that is also the chat format: the bytes of a request
//! and the chat events of an engine pass as they are, but for what breaks prefix caches (`prefix`).

mod error;
pub(crate) mod models;
mod tasks;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;

pub use self::{error::error_document, tasks::OpenAiTask};
use super::{
    chat::{ChatRequest, RequestTask},
    client_dialect::{ClientDialect, ClientRequest},
};
use crate::{
    body::{
        peek::{PeekedBody, not_empty},
        surrogates,
    },
    endpoint::Endpoint,
    error::Error,
    prefix,
};

/// A comment of an event stream: every client that was tried ignores it.
const COMMENT: &[u8] = b": crucible\n\n";

/// The format of `POST /v1/chat/completions`.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

/// The members without which a task cannot be done, each with a sample.
const fn needed(task: RequestTask) -> &'static [(&'static str, &'static str)] {
    match task {
        RequestTask::Chat => &[("messages", "[...]")],
        RequestTask::Completion => &[("prompt", "\"...\"")],
        RequestTask::Embedding => &[("input", "\"...\"")],
        RequestTask::Rerank => &[("query", "\"...\""), ("documents", "[...]")],
    }
}

/// Reads a request whose body is in OpenAI's format of the task already.
fn read_as(task: RequestTask, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
    not_empty(&request.body, needed(task))?;
    let mut body = request.body;
    let depth = request.config.limits.json_depth;
    let mut notes = Vec::new();
    let mut peek = match PeekedBody::of(&body, depth) {
        Ok(peek) if !peek.has_surrogates() => peek,
        // Half a character in the model's name is one that no text holds, so that the look itself fails.
        first => match surrogates::mended(body.clone()) {
            (mended, true) => {
                body = mended;
                notes.push(Cow::Borrowed(surrogates::NOTE));
                PeekedBody::of(&body, depth)?
            }
            (_, false) => first?,
        },
    };
    if task == RequestTask::Chat
        && let Some(sent) = prefix::neutralised(&body, &peek, request.config.prefix)
    {
        body = sent.body;
        peek = PeekedBody::of(&body, depth)?;
        notes.extend(sent.notes);
    }
    Ok(ChatRequest {
        task,
        body,
        peek: Arc::new(peek),
        notes,
        writer: None,
        shared: None,
        native: None,
    })
}

// === impl OpenAiChat ===

impl ClientDialect for OpenAiChat {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Chat
    }

    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        read_as(RequestTask::Chat, request)
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn error(&self, error: &Error) -> Bytes {
        error_document(error).to_string().into()
    }

    fn in_band(&self, error: &Error) -> Bytes {
        format!("data: {}\n\n", error_document(error)).into()
    }

    fn heartbeat(&self) -> Option<Bytes> {
        Some(Bytes::from_static(COMMENT))
    }
}
