//! The middle format, in which client formats and engine formats meet: OpenAI's chat completions, a
//! request as its bytes and an answer as its events.

pub mod transcoder;

use std::sync::Arc;

use bytes::Bytes;

pub use self::transcoder::{ClientTranscoder, EngineTranscoder, StreamProgress, chained};
use crate::body::peek::PeekedBody;

/// A client's request as a chat request: the bytes of one JSON object, and where its top-level keys
/// stand in them. The bytes are the client's own wherever its format is the chat format.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The chat request. Unknown keys, the order of keys and the text of numbers are the client's.
    pub body: Bytes,
    /// The top-level keys of `body`.
    pub peek: Arc<PeekedBody>,
    /// Sentences for `x-crucible-note`: what reading the request had to change.
    pub notes: Vec<&'static str>,
}
