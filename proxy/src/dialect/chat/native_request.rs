//! A request of a client of Ollama's API, for engines that have that API, and the wishes of such clients
//! about what is in memory.

use std::borrow::Cow;

use bytes::Bytes;

/// The paths of Ollama's API that ask a model for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeApi {
    /// A conversation is continued: `/api/chat`.
    Chat,
    /// A prompt is answered or continued: `/api/generate`.
    Generate,
    /// Texts become vectors: `/api/embed`.
    Embed,
    /// One text becomes a vector that is not normalised: `/api/embeddings`.
    Embeddings,
}

/// A request as a client of Ollama's API wrote it. An Ollama is asked in it, with the load options of its
/// model and the gaps filled; other engines get the chat request.
#[derive(Clone, Debug)]
pub struct NativeRequest {
    /// The path that the client asked.
    pub api: NativeApi,
    /// The client's body.
    pub body: Bytes,
    /// Sentences for the header `x-crucible-note` about what is lost where the request is translated.
    pub lost: Vec<Cow<'static, str>>,
    /// The wish about memory that takes the place of a prompt, if there is none.
    pub residency: Option<ResidencyRequest>,
    /// Whether images stand beside a prompt that is continued as it is, which an Ollama alone takes.
    pub images_beside_raw: bool,
}

/// A request without a prompt: it asks for its model to be in memory, or out of it.
#[derive(Clone, Debug)]
pub struct ResidencyRequest {
    /// Whether the model is to be loaded; else it is to go.
    pub loads: bool,
    /// The body of the answer.
    pub answer: Bytes,
}

// === impl NativeApi ===

impl NativeApi {
    /// Returns the path, which is the same at Crucible and at an Ollama.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/api/chat",
            Self::Generate => "/api/generate",
            Self::Embed => "/api/embed",
            Self::Embeddings => "/api/embeddings",
        }
    }
}
