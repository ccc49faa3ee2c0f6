//! The trait that every client format implements.
//!
//! Whatever a client sends becomes a chat request, from which engines are asked:
//!
//! ```
//! use bytes::Bytes;
//! use crucible::dialect::{self, ClientRequest};
//! use crucible_config::Config;
//! use http::HeaderMap;
//!
//! let client = dialect::of_path("/v1/messages").unwrap();
//! let chat = client.read(ClientRequest {
//!     headers: &HeaderMap::new(),
//!     body: Bytes::from_static(
//!         br#"{"model":"m","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Hi"}]}"#,
//!     ),
//!     config: &Config::builtin(),
//! })?;
//! assert_eq!(
//!     chat.body,
//!     r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"max_tokens":9}"#
//! );
//! # Ok::<(), crucible::error::Error>(())
//! ```

use std::fmt;

use bytes::Bytes;
use crucible_config::Config;
use http::{HeaderMap, HeaderName};

use super::chat::ChatRequest;
use crate::{endpoint::Endpoint, error::Error};

/// A request as a client sent it, with its body decoded.
#[derive(Debug)]
pub struct ClientRequest<'a> {
    /// The headers as they came.
    pub headers: &'a HeaderMap,
    /// The whole body, without its content encoding.
    pub body: Bytes,
    /// The configuration with which this request is served.
    pub config: &'a Config,
}

/// A client format: it reads requests into chat requests and writes errors for the client. Answers are
/// written by the [`AnswerWriter`](super::chat::AnswerWriter) that a chat request carries.
///
/// An implementation has no state of its own. It is a static in the table of [`of_path`](super::of_path)
/// and stands in the record of its request, so that the guard, the panic handler, the late commit and
/// the relay answer in the client's format without knowing which one it is.
pub trait ClientDialect: fmt::Debug + Send + Sync {
    /// Returns the value of the metric label `endpoint` for requests in this format.
    fn endpoint(&self) -> Endpoint;

    /// Reads a request into the chat request that it asks for.
    ///
    /// # Errors
    /// The body is malformed, or a key that Crucible reads has the wrong type or stands twice; the
    /// error names the key in the client's own spelling.
    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error>;

    /// Returns the media type of a streamed answer.
    fn stream_type(&self) -> &'static str;

    /// Writes the JSON body of an error that is sent before the first byte of an answer.
    fn error(&self, error: &Error) -> Bytes;

    /// Writes the event of an error that is sent after the headers of a stream, before any event of the
    /// answer; later ones are written by the transcoder of the answer, where there is one. Nothing
    /// follows it, not even `[DONE]`.
    fn in_band(&self, error: &Error) -> Bytes;

    /// Returns the bytes that keep the connection of a waiting client alive and that the client ignores;
    /// `None` where the format has no such bytes, as newline-delimited JSON.
    fn heartbeat(&self) -> Option<Bytes>;

    /// Returns the header in which clients of the format look for the id of a request, where it is another
    /// one than `x-request-id`, which every answer has.
    fn request_id_header(&self) -> Option<HeaderName> {
        None
    }
}
