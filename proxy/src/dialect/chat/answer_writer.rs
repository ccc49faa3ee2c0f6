//! The writer of one request's answer in a client format that is not the chat format.

use std::fmt;

use bytes::Bytes;

use super::ClientTranscoder;
use crate::error::Error;

/// Writes the answer to one request in the format of its client.
///
/// A client format makes one while it reads a request and keeps in it what the answer needs of the
/// request: the names of its tools, the fields that are repeated to the client, the ids. A request may
/// be tried on several engines, so a writer is shared and gives a new transcoder to each attempt.
pub trait AnswerWriter: fmt::Debug + Send + Sync {
    /// Notes that an engine is asked now, after the wait for a permit and perhaps a load. It is called for each attempt.
    fn asked(&self) {}

    /// Returns the transcoder that turns the chat events of a streamed answer into the client's events.
    fn transcoder(&self) -> Box<dyn ClientTranscoder>;

    /// Writes a whole answer, given as one chat completion, in the client's format.
    ///
    /// # Errors
    /// The completion cannot be read, or holds something that this format cannot express.
    fn whole(&self, completion: Bytes) -> Result<Bytes, Error>;

    /// Returns an error about the chat request as one about the client's own: a path such as
    /// `messages[2].content` becomes the client's name of that place.
    fn respelled(&self, error: Error) -> Error {
        error
    }
}

/// Writes an answer in OpenAI's form of its task in the format of the client; without a `writer`
/// that is the form itself.
pub(crate) fn written(
    writer: Option<&dyn AnswerWriter>,
    completion: Bytes,
) -> Result<Bytes, Error> {
    match writer {
        None => Ok(completion),
        Some(writer) => writer.whole(completion),
    }
}
