//! Wire formats: how clients ask and are answered, and how engines are asked and answer.
//!
//! A **client format** is one folder in this module and implements the trait [`ClientDialect`]. An
//! **engine format** is one folder in [`engine`] and implements the trait `EngineFormat`. Both meet in
//! the chat format of [`chat`]: a client format reads every request into a [`chat::ChatRequest`], and an
//! engine format turns every answer into chat events. `N` client formats and `M` engine formats are
//! therefore `N + M` pieces of code, and a stream passes two transcoders in a chain
//! ([`chat::chained`]). A client of OpenAI's chat completions pays for neither, because the chat format
//! is its own: its bytes pass as they are.
//!
//! Everything in this module is a function of bytes; nothing sends or waits.
//!
//! A refusal in the format of the client that asked:
//!
//! ```
//! use crucible::{dialect, error::{Error, ErrorKind}};
//!
//! let client = dialect::of_path("/v1/chat/completions").unwrap();
//! let error = Error::new(ErrorKind::MissingField, "`messages` is missing").param("messages");
//! assert_eq!(
//!     client.error(&error),
//!     r#"{"error":{"message":"`messages` is missing","type":"invalid_request_error","param":"messages","code":"missing_field"}}"#
//! );
//! ```

pub(crate) mod anthropic;
mod assembled_answer;
pub mod chat;
mod client_dialect;
pub mod engine;
pub(crate) mod engine_lists;
mod explained;
mod listed_model;
mod lmstudio;
mod measured_answer;
pub(crate) mod ollama;
pub mod openai;
pub mod responses;

use std::borrow::Cow;

use crucible_config::misspelled;
use http::HeaderMap;

pub use self::client_dialect::{ClientDialect, ClientRequest};
pub(crate) use self::{assembled_answer::assembled, explained::of_body};
use crate::guard::{base_url::canonical, paths::unescape};

/// The paths that a client may have meant by another one; some are of no format.
const PATHS: [&str; 8] = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
];

/// Returns the format of the clients that ask this canonical path; `None` for a path of no client format,
/// such as Crucible's own pages.
pub fn of_path(path: &str) -> Option<&'static dyn ClientDialect> {
    of_request(path, &HeaderMap::new())
}

/// Returns the format of a request with this canonical path. The headers tell a client that takes a
/// format otherwise than its specification.
pub fn of_request(path: &str, headers: &HeaderMap) -> Option<&'static dyn ClientDialect> {
    match path {
        "/v1/chat/completions" | lmstudio::CHAT => Some(&openai::OpenAiChat),
        "/v1/responses" => Some(responses::of_client(headers)),
        "/v1/completions" | lmstudio::COMPLETIONS => Some(&openai::OpenAiTask::Completions),
        "/v1/embeddings" => Some(&openai::OpenAiTask::Embeddings),
        "/v1/rerank" => Some(&openai::OpenAiTask::Rerank),
        "/v1/messages" => Some(&anthropic::MESSAGES),
        _ if path.starts_with("/v1/messages/") => Some(&anthropic::OTHER_PATHS),
        _ => ollama::of_path(path),
    }
}

/// Returns the format in which the client of a path of no client format reads errors: that of its
/// headers, else of the path that it most likely means, else the one of [`unasked`].
pub fn of_unknown(path: &str, headers: &HeaderMap) -> &'static dyn ClientDialect {
    if headers.contains_key("anthropic-version") {
        return &anthropic::OTHER_PATHS;
    }
    meant(path).unwrap_or_else(unasked)
}

/// Returns the format of the path of which this one is a misspelling: another case, escapes, or a letter or two.
fn meant(path: &str) -> Option<&'static dyn ClientDialect> {
    /// What is longer is no slip.
    const LONGEST: usize = 48;
    let lower = unescape(path).to_ascii_lowercase();
    let path = canonical(&lower);
    let found = of_path(&path).or_else(|| ollama::of_misspelled(&path));
    if found.is_some() || path.len() > LONGEST {
        return found;
    }
    misspelled_path(path)
}

/// Returns the format of the path that this one is but for a letter or two.
fn misspelled_path(path: Cow<'_, str>) -> Option<&'static dyn ClientDialect> {
    let full = match path.strip_prefix("/v1") {
        Some(_) => path,
        None => format!("/v1{path}").into(),
    };
    of_path(misspelled(&full, PATHS)?)
}

/// Returns the format that is used where no path names one: on Crucible's own pages, and on a socket
/// whose request could not be read.
pub fn unasked() -> &'static dyn ClientDialect {
    &openai::OpenAiChat
}
