//! The chat request, into which every client format reads its requests.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::{AnswerWriter, NativeRequest, RequestTask, ResidencyRequest, SharedRequest};
use crate::body::peek::PeekedBody;

/// A client's request in the chat format: the bytes of one JSON object and the ranges of its top-level
/// members. The bytes are the client's own wherever its format is the chat format.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The task that is asked for. The body is that of OpenAI's format for the task, which is the chat
    /// format for nearly every request.
    pub task: RequestTask,
    /// The JSON of the request. Unknown keys, the order of keys and the text of numbers are the client's.
    pub body: Bytes,
    /// The ranges of the top-level members in `body`.
    pub peek: Arc<PeekedBody>,
    /// Sentences for the header `x-crucible-note` about what had to be changed to read the request.
    pub notes: Vec<Cow<'static, str>>,
    /// The writer of the answer in the client's format; `None` where that is the chat format, so that
    /// answers pass as they are.
    pub writer: Option<Arc<dyn AnswerWriter>>,
    /// The request as its client wrote it, for engines that take it so; `None` where it is a chat request
    /// already, or where no engine speaks its format.
    pub shared: Option<SharedRequest>,
    /// The request in Ollama's own format, which an Ollama is asked in; `None` where the client speaks
    /// another one.
    pub native: Option<Arc<NativeRequest>>,
}

// === impl ChatRequest ===

impl ChatRequest {
    /// Returns the wish about memory of a request without a prompt.
    pub(crate) fn residency(&self) -> Option<&ResidencyRequest> {
        self.native.as_ref()?.residency.as_ref()
    }
}

/// Reports whether the client asked for an event with the token counts
/// (`stream_options.include_usage`).
pub(crate) fn asks_for_usage(body: &[u8], peek: &PeekedBody) -> bool {
    peek.raw(body, "stream_options")
        .and_then(|raw| serde_json::from_str::<Value>(raw).ok())
        .is_some_and(|options| options["include_usage"] == true)
}
