//! Wire formats: how clients ask and are answered, and how engines are asked and answer.
//!
//! A **client format** is one folder here behind the trait [`ClientDialect`]; an **engine format** is
//! one folder in [`engine`]. They meet in the middle: every client's request becomes one of
//! [`chat`], every engine's answer comes as its events. So `N` client formats and `M` engine formats
//! are `N + M` pieces of code, and a stream passes two transcoders in a chain
//! ([`chat::chained`]). A client that speaks the middle format itself, OpenAI's chat completions, pays
//! for neither: its bytes pass as they are.
//!
//! Everything here is a function of bytes; nothing sends or waits.
//!
//! A refusal in the format of the client that asked:
//!
//! ```
//! use crucible::{dialect, error::{Error, Kind}};
//!
//! let client = dialect::of_path("/v1/chat/completions").unwrap();
//! let error = Error::new(Kind::MissingField, "`messages` is missing").param("messages");
//! assert_eq!(
//!     client.error(&error),
//!     r#"{"error":{"message":"`messages` is missing","type":"invalid_request_error","param":"messages","code":"missing_field"}}"#
//! );
//! ```

pub(crate) mod anthropic;
pub mod chat;
pub mod engine;
pub mod openai;

use std::fmt;

use bytes::Bytes;
use crucible_config::checked::Limits;

use self::chat::{ChatRequest, ClientTranscoder};
use crate::{endpoint::Endpoint, error::Error};

/// One client format: how a request in it is read, and how everything that can happen is said in it.
///
/// A dialect has no state of its own. It rides in the record of its request, so that the guard, a
/// panic, the late commit and the relay all answer in it without knowing which one it is.
pub trait ClientDialect: fmt::Debug + Send + Sync {
    /// The value of the metrics' label `endpoint` for requests in this format.
    fn endpoint(&self) -> Endpoint;

    /// Reads a decoded body and gives the chat request that it asks for.
    ///
    /// # Errors
    /// The body is malformed, or a key that Crucible reads has the wrong type or stands twice; the
    /// error names the key in the client's own spelling.
    fn read(&self, body: Bytes, limits: &Limits) -> Result<ChatRequest, Error>;

    /// The second transcoder of a streamed answer: from chat events to the client's. `None` where chat
    /// events are the client's own, so that frames pass untouched.
    fn transcoder(&self, request: &ChatRequest) -> Option<Box<dyn ClientTranscoder>>;

    /// A whole answer, given as one chat completion, in the client's format.
    ///
    /// # Errors
    /// The completion holds something that this format cannot say.
    fn whole(&self, completion: Bytes) -> Result<Bytes, Error>;

    /// The media type of a streamed answer.
    fn stream_type(&self) -> &'static str;

    /// The JSON body that says an error before the first byte of an answer.
    fn error(&self, error: &Error) -> Bytes;

    /// The event that says an error after the first byte of a stream. Nothing follows it, no `[DONE]`
    /// either.
    fn in_band(&self, error: &Error) -> Bytes;

    /// The bytes that keep a waiting client's connection alive and mean nothing; `None` where the
    /// format has no such thing, as in newline-delimited JSON.
    fn heartbeat(&self) -> Option<Bytes>;
}

/// The format that clients of this canonical path speak; `None` for a path that is of no client
/// format, as Crucible's own pages.
pub fn of_path(path: &str) -> Option<&'static dyn ClientDialect> {
    match path {
        "/v1/chat/completions" => Some(&openai::OpenAiChat),
        _ => None,
    }
}

/// The format that is spoken where no path tells one: on Crucible's own pages, and on a socket whose
/// request could not be read.
pub fn unasked() -> &'static dyn ClientDialect {
    &openai::OpenAiChat
}
