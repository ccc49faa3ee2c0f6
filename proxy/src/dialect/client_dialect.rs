//! The trait that every client format implements.

use std::fmt;

use bytes::Bytes;
use crucible_config::checked::Limits;

use super::chat::{ChatRequest, ClientTranscoder};
use crate::{endpoint::Endpoint, error::Error};

/// A client format: it reads requests into chat requests and writes answers and errors for the client.
///
/// An implementation has no state of its own. It is a static in the table of [`of_path`](super::of_path)
/// and stands in the record of its request, so that the guard, the panic handler, the late commit and
/// the relay answer in the client's format without knowing which one it is.
pub trait ClientDialect: fmt::Debug + Send + Sync {
    /// Returns the value of the metric label `endpoint` for requests in this format.
    fn endpoint(&self) -> Endpoint;

    /// Reads a decoded body into the chat request that it asks for.
    ///
    /// # Errors
    /// The body is malformed, or a key that Crucible reads has the wrong type or stands twice; the
    /// error names the key in the client's own spelling.
    fn read(&self, body: Bytes, limits: &Limits) -> Result<ChatRequest, Error>;

    /// Returns the transcoder that turns the chat events of a streamed answer into the client's events,
    /// or `None` where chat events are the client's own, so that frames pass untouched.
    fn transcoder(&self, request: &ChatRequest) -> Option<Box<dyn ClientTranscoder>>;

    /// Writes a whole answer, given as one chat completion, in the client's format.
    ///
    /// # Errors
    /// The completion holds something that this format cannot express.
    fn whole(&self, completion: Bytes) -> Result<Bytes, Error>;

    /// Returns the media type of a streamed answer.
    fn stream_type(&self) -> &'static str;

    /// Writes the JSON body of an error that is sent before the first byte of an answer.
    fn error(&self, error: &Error) -> Bytes;

    /// Writes the event of an error that is sent after the first byte of a stream. Nothing follows it,
    /// not even `[DONE]`.
    fn in_band(&self, error: &Error) -> Bytes;

    /// Returns the bytes that keep the connection of a waiting client alive and that the client ignores;
    /// `None` where the format has no such bytes, as newline-delimited JSON.
    fn heartbeat(&self) -> Option<Bytes>;
}
