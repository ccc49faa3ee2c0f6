//! Answers that are one JSON document and no completion: the vectors of an embeddings request, and
//! the rankings of a rerank request.

use bytes::Bytes;

use crate::{error::Error, usage::Usage};

/// A reader of the one document that an engine answers with. It writes it anew for the client:
/// vectors in OpenAI's form, rankings in the form of Jina's `/v1/rerank`.
pub(crate) trait DocumentReader: Send {
    /// Returns the most bytes that the engine's document may have; a longer one is refused. The
    /// default is `event_limit`, which is `limits.event`.
    fn limit(&self, event_limit: usize) -> usize {
        event_limit
    }

    /// Reads the document of a successful answer.
    ///
    /// # Errors
    /// The document is an engine's error, or is not the answer to what was asked.
    fn read(self: Box<Self>, document: &Bytes) -> Result<AnswerDocument, Error>;

    /// Returns the error that the client gets where the engine refused the request with `error`; by
    /// default they are the same.
    fn refused(&self, error: Error) -> Error {
        error
    }
}

/// The document for the client, with the token counts and the model that the engine's document
/// named.
#[derive(Debug)]
pub(crate) struct AnswerDocument {
    /// The JSON that the client gets.
    pub(crate) body: Bytes,
    /// The token counts that the engine reported, if it did.
    pub(crate) usage: Option<Usage>,
    /// The model that the engine names as the one that answered, if it names one.
    pub(crate) model: Option<String>,
}
