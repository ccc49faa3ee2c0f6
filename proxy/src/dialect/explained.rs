//! The format of a body that is explained and not sent, where nobody says to which path it would go.

use std::collections::HashMap;

use http::HeaderMap;
use serde_json::value::RawValue;

use super::{ClientDialect, of_path, unasked};

/// The keys by which a body is known, in the order in which they are looked for, and the path of each.
const KEYS: [(&str, &str); 4] = [
    ("input", "/v1/responses"),
    ("prompt", "/v1/completions"),
    ("system", "/v1/messages"),
    ("anthropic_version", "/v1/messages"),
];

/// The keys that only clients of Ollama's API write.
const OLLAMAS: [&str; 4] = ["options", "format", "keep_alive", "raw"];

/// Returns the format of a body by the headers that came with it, else by its keys: `messages` with
/// `system` beside it are Anthropic's, `input` without `messages` is that of responses, the keys of [`OLLAMAS`] are
/// Ollama's, and everything else is a chat.
pub(crate) fn of_body(headers: &HeaderMap, body: &[u8]) -> &'static dyn ClientDialect {
    let path = if headers.contains_key("anthropic-version") {
        Some("/v1/messages")
    } else {
        path_of(body)
    };
    path.and_then(of_path).unwrap_or_else(unasked)
}

fn path_of(body: &[u8]) -> Option<&'static str> {
    let keys: HashMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let is_talk = keys.contains_key("messages");
    if OLLAMAS.iter().any(|key| keys.contains_key(*key)) {
        let known = [
            ("messages", "/api/chat"),
            ("prompt", "/api/generate"),
            ("input", "/api/embed"),
        ];
        let found = known.iter().find(|(key, _)| keys.contains_key(*key));
        return found.map(|(_, path)| *path);
    }
    let mut known = KEYS.iter();
    let found = known.find(|(key, path)| {
        let of_messages = *path == "/v1/messages";
        keys.contains_key(*key) && of_messages == is_talk
    });
    found.map(|(_, path)| *path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn a_body_is_known_by_its_keys() {
        let none = HeaderMap::new();
        for (body, endpoint) in [
            (r#"{"model":"m","messages":[]}"#, Endpoint::Chat),
            (r#"{"messages":[],"input":"x"}"#, Endpoint::Chat),
            (r#"{"input":[]}"#, Endpoint::Responses),
            (r#"{"prompt":"x"}"#, Endpoint::Completions),
            (r#"{"messages":[],"system":[]}"#, Endpoint::Messages),
            (r#"{"messages":[],"options":{}}"#, Endpoint::Native),
            (r#"{"prompt":"x","raw":true}"#, Endpoint::Native),
            (r#"{"input":"x","keep_alive":0}"#, Endpoint::Native),
            (r#"{"format":"json"}"#, Endpoint::Chat),
            ("[1]", Endpoint::Chat),
            ("", Endpoint::Chat),
        ] {
            let found = of_body(&none, body.as_bytes());
            assert_eq!(found.endpoint(), endpoint, "{body}");
        }
        let mut anthropic = HeaderMap::new();
        anthropic.insert("anthropic-version", "2023-06-01".parse().unwrap());
        let found = of_body(&anthropic, br#"{"messages":[]}"#);
        assert_eq!(found.endpoint(), Endpoint::Messages);
    }
}
