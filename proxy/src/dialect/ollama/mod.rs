//! Ollama's own API as its clients ask it: the paths below `/api/`.
//!
//! Every error of such a path has Ollama's form, also on a path that another room serves or that is closed:
//!
//! ```text
//! {"error":"model 'x' not found"}
//! ```

mod answer;
mod error;
pub(crate) mod lists;
mod one_line;
mod request;
mod writer;

use bytes::Bytes;

use super::{
    chat::{ChatRequest, NativeApi},
    client_dialect::{ClientDialect, ClientRequest},
};
use crate::{
    endpoint::Endpoint,
    error::{Error, ErrorKind},
};

/// The format of the paths that ask a model for something: `/api/chat`, `/api/generate`, `/api/embed` and
/// `/api/embeddings`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OllamaApiPath(NativeApi);

/// The format of the paths of Ollama's API that ask for no answer of a model: lists, pulls and every path
/// that Ollama does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OllamaPaths {
    endpoint: Endpoint,
}

/// The paths that list models or describe one.
pub(crate) static LISTS: OllamaPaths = OllamaPaths {
    endpoint: Endpoint::Models,
};

/// All other paths below `/api/`.
pub(crate) static OTHER_PATHS: OllamaPaths = OllamaPaths {
    endpoint: Endpoint::Other,
};

/// Returns the format of a canonical path of Ollama's API; `None` for every other path. What begins with
/// `/api/v0/` or `/api/v1/` is LM Studio's.
pub(super) fn of_path(path: &str) -> Option<&'static dyn ClientDialect> {
    let plain = path.strip_prefix("/v1").unwrap_or(path);
    let name = plain.strip_prefix("/api/")?;
    match name {
        "chat" => Some(&OllamaApiPath(NativeApi::Chat)),
        "generate" => Some(&OllamaApiPath(NativeApi::Generate)),
        "embed" => Some(&OllamaApiPath(NativeApi::Embed)),
        "embeddings" => Some(&OllamaApiPath(NativeApi::Embeddings)),
        "tags" | "show" | "ps" => Some(&LISTS),
        "v0" | "v1" => None,
        _ if name.starts_with("v0/") || name.starts_with("v1/") => None,
        _ => Some(&OTHER_PATHS),
    }
}

/// Returns the format of a path that is none, in lower case, where it begins with `/api` all the same.
pub(super) fn of_misspelled(path: &str) -> Option<&'static dyn ClientDialect> {
    let rest = path
        .strip_prefix("/v1")
        .unwrap_or(path)
        .strip_prefix("/api")?;
    let is_lmstudios = ["/v0", "/v1"].iter().any(|base| rest.starts_with(base));
    (!is_lmstudios).then_some(&OTHER_PATHS as &dyn ClientDialect)
}

// === impl OllamaApiPath ===

impl ClientDialect for OllamaApiPath {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Native
    }

    fn read(&self, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        request::read(self.0, request)
    }

    fn stream_type(&self) -> &'static str {
        OTHER_PATHS.stream_type()
    }

    fn error(&self, error: &Error) -> Bytes {
        OTHER_PATHS.error(error)
    }

    fn in_band(&self, error: &Error) -> Bytes {
        OTHER_PATHS.in_band(error)
    }

    fn heartbeat(&self) -> Option<Bytes> {
        None
    }
}

// === impl OllamaPaths ===

impl ClientDialect for OllamaPaths {
    fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    fn read(&self, _: ClientRequest<'_>) -> Result<ChatRequest, Error> {
        Err(Error::new(
            ErrorKind::UnknownEndpoint,
            "this path of Ollama's API asks no model for an answer; POST /api/chat does",
        ))
    }

    fn stream_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn error(&self, error: &Error) -> Bytes {
        error::document(error)
    }

    fn in_band(&self, error: &Error) -> Bytes {
        error::line(error)
    }

    fn heartbeat(&self) -> Option<Bytes> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_ollama_are_known_and_those_of_lm_studio_are_not() {
        for (path, endpoint) in [
            ("/api/chat", Some(Endpoint::Native)),
            ("/api/generate", Some(Endpoint::Native)),
            ("/api/embed", Some(Endpoint::Native)),
            ("/api/embeddings", Some(Endpoint::Native)),
            ("/api/tags", Some(Endpoint::Models)),
            ("/api/show", Some(Endpoint::Models)),
            ("/api/ps", Some(Endpoint::Models)),
            ("/api/version", Some(Endpoint::Other)),
            ("/v1/api/version", Some(Endpoint::Other)),
            ("/api/pull", Some(Endpoint::Other)),
            ("/api/blobs/sha256:1", Some(Endpoint::Other)),
            ("/api/nothing", Some(Endpoint::Other)),
            ("/api/v0/models", None),
            ("/api/v1/chat", None),
            ("/api", None),
            ("/v1/models", None),
        ] {
            let found = of_path(path).map(ClientDialect::endpoint);
            assert_eq!(found, endpoint, "{path}");
        }
    }
}
