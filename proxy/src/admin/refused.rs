//! Paths of the engines' own APIs that are not served, each with what a client does instead.

use http::{HeaderMap, header};

/// Paths, each with all that lies below it, and the words about them.
const REFUSED: [(&[&str], &str); 9] = [
    (
        &["/api/v1/chat"],
        "LM Studio keeps the conversation of this API itself and runs tools of its own in it; send the whole \
         conversation to POST /v1/chat/completions or POST /v1/responses",
    ),
    (
        &["/lmstudio-greeting", "/lms-status"],
        "they lead LM Studio's own programs to its WebSocket protocol; use POST /v1/chat/completions, and GET \
         /api/v0/models for the list",
    ),
    (
        &["/v1/audio", "/audio"],
        "no speech is read or written here; ask an engine that does it itself",
    ),
    (
        &["/v1/images", "/images"],
        "no images are made here; ask an engine that does it itself",
    ),
    (
        &[
            "/v1/chat/completions/input_tokens",
            "/v1/responses/input_tokens",
        ],
        "POST /v1/messages/count_tokens counts the tokens of a prompt",
    ),
    (
        &["/v1/chat/completions/control", "/v1/stream", "/v1/streams"],
        "llama.cpp's server keeps these streams itself; close the connection to cancel an answer",
    ),
    (
        &["/v1/models/sse"],
        "GET /crucible/state shows what is being loaded",
    ),
    (
        &["/cors-proxy", "/tools", "/v1/systemone"],
        "nothing is fetched or run for a client here; ask llama.cpp's server itself",
    ),
    (
        &["/api/user"],
        "accounts of Ollama's cloud are managed with `ollama` itself",
    ),
];

/// The WebSocket paths of LM Studio's SDK.
const LMSTUDIO_SOCKETS: [&str; 8] = [
    "/llm",
    "/embedding",
    "/system",
    "/repository",
    "/files",
    "/diagnostics",
    "/plugins",
    "/runtime",
];

/// Whether a request asks for another protocol than HTTP.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The words about a path that is known and not served; `None` for every other path.
pub(super) fn words(path: &str, headers: &HeaderMap) -> Option<&'static str> {
    if is_upgrade(headers) || LMSTUDIO_SOCKETS.contains(&path) {
        return Some(
            "there is no WebSocket here, which LM Studio's SDK speaks; use POST /v1/chat/completions, and GET \
             /api/v0/models for the list",
        );
    }
    let found = REFUSED.iter().find(|(paths, _)| {
        paths.iter().any(|refused| {
            path.strip_prefix(refused)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    });
    found.map(|(_, words)| *words)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_path_that_is_known_has_words_and_others_have_none() {
        let none = HeaderMap::new();
        for (path, part) in [
            ("/api/v1/chat", Some("whole conversation")),
            ("/api/v1/chatter", None),
            ("/v1/audio/transcriptions", Some("speech")),
            ("/system", Some("WebSocket")),
            ("/tools", Some("itself")),
            ("/nowhere", None),
        ] {
            let found = words(path, &none);
            assert_eq!(found.is_some(), part.is_some(), "{path}");
            assert!(
                part.is_none_or(|part| found.is_some_and(|words| words.contains(part))),
                "{path}"
            );
        }
        let mut upgrade = HeaderMap::new();
        upgrade.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        assert!(words("/nowhere", &upgrade).is_some_and(|words| words.contains("WebSocket")));
    }
}
