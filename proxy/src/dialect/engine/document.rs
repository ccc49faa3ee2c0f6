//! Answers that are one document and no completion: vectors, and rankings.

use bytes::Bytes;

use crate::{error::Error, usage::Usage};

/// Reads an engine's document and writes it in OpenAI's form of the task.
pub(crate) trait DocumentReader: Send {
    /// Returns the most bytes that the engine's document may have; `event_limit` is `limits.event`.
    fn limit(&self, event_limit: usize) -> usize {
        event_limit
    }

    /// Reads the document of a successful answer.
    ///
    /// # Errors
    /// The document is an engine's error, or is not the answer to what was asked.
    fn read(self: Box<Self>, document: &Bytes) -> Result<AnswerDocument, Error>;

    /// Returns the error for the client where the engine refused the request with this one.
    fn refused(&self, error: Error) -> Error {
        error
    }
}

/// A document for the client, and the facts that the engine's document told.
#[derive(Debug)]
pub(crate) struct AnswerDocument {
    /// The JSON in OpenAI's form.
    pub(crate) body: Bytes,
    /// The engine's counts.
    pub(crate) usage: Option<Usage>,
    /// The model that the engine names as the one that answered.
    pub(crate) model: Option<String>,
}
