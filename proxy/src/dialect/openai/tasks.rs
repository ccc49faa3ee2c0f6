//! The tasks of OpenAI's API that are no chat: each is a path of its own with a body of its own, and all
//! say errors and keep a stream alive as chat does.

use std::sync::Arc;

use bytes::Bytes;

use super::{OpenAiChat, read_as};
use crate::{
    dialect::{
        chat::{ChatRequest, RequestTask},
        client_dialect::{ClientDialect, ClientRequest},
    },
    endpoint::Endpoint,
    error::Error,
};

/// The format of one task of OpenAI's API beside chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAiTask {
    /// A raw prompt is continued: `POST /v1/completions`.
    Completions,
    /// Texts become vectors: `POST /v1/embeddings`.
    Embeddings,
    /// Documents are ranked for a query: `POST /v1/rerank`, which is Jina's and not OpenAI's.
    Rerank,
}

// === impl ClientDialect ===

impl ClientDialect for OpenAiTask {
    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Completions => Endpoint::Completions,
            Self::Embeddings => Endpoint::Embeddings,
            Self::Rerank => Endpoint::Rerank,
        }
    }

    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        let task = match self {
            Self::Completions => RequestTask::Completion,
            Self::Embeddings => RequestTask::Embedding,
            Self::Rerank => RequestTask::Rerank,
        };
        let mut read = read_as(task, request)?;
        if read.peek.stream && task != RequestTask::Completion {
            // Some clients send it with every request; these answers are one document.
            Arc::make_mut(&mut read.peek).stream = false;
        }
        Ok(read)
    }

    fn stream_type(&self) -> &'static str {
        OpenAiChat.stream_type()
    }

    fn error(&self, error: &Error) -> Bytes {
        OpenAiChat.error(error)
    }

    fn in_band(&self, error: &Error) -> Bytes {
        OpenAiChat.in_band(error)
    }

    fn heartbeat(&self) -> Option<Bytes> {
        OpenAiChat.heartbeat()
    }
}
