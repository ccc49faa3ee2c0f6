//! The tasks that a request may ask of an engine.

use crucible_router::catalog::ModelKind;

/// The task of a request, which says in which of OpenAI's formats its body is written and what its answer
/// is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestTask {
    /// A conversation is continued: the body of `/v1/chat/completions`.
    #[default]
    Chat,
    /// A raw text is continued, without a chat template: the body of `/v1/completions`.
    Completion,
    /// Texts become vectors: the body of `/v1/embeddings`.
    Embedding,
    /// Documents are ranked by their relevance for a query: the body of `/v1/rerank`.
    Rerank,
}

// === impl RequestTask ===

impl RequestTask {
    /// Returns the purpose of the models that can do the task.
    pub const fn model_kind(self) -> ModelKind {
        match self {
            Self::Chat | Self::Completion => ModelKind::Generation,
            Self::Embedding | Self::Rerank => ModelKind::Embedding,
        }
    }
}
