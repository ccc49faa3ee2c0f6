//! The rules over paths: Crucible's own paths may be spelled in several ways, and the engines'
//! management paths are closed.

use std::borrow::Cow;

use crucible_config::{
    checked::EngineKind,
    engine_profile::ManagementPath,
    management::{covers, management_paths},
};

/// The path that nearly every request asks for; it needs no further look.
const CHAT: &str = "/v1/chat/completions";

/// The path as the path table knows it: Crucible's `/v1` endpoints are also served at the root,
/// with doubled slashes, with `/v1/v1` and with a trailing slash. Whatever follows the first
/// segment after `/v1`, a model's name, stays as it is.
pub fn canonical(path: &str) -> Cow<'_, str> {
    if path == CHAT {
        return Cow::Borrowed(path);
    }
    let mut rest = path.trim_start_matches('/');
    let mut prefixed = false;
    while let Some(after) = rest.strip_prefix("v1") {
        if !after.is_empty() && !after.starts_with('/') {
            break;
        }
        prefixed = true;
        rest = after.trim_start_matches('/');
    }
    let rest = rest.trim_end_matches('/');
    let first = rest.split('/').next().unwrap_or_default();
    let ours = prefixed
        || matches!(
            first,
            "chat"
                | "models"
                | "completions"
                | "embeddings"
                | "rerank"
                | "reranking"
                | "responses"
                | "messages"
        );
    let canonical = match (ours, rest.is_empty()) {
        (true, true) => "/v1".to_owned(),
        (true, false) => {
            // `chat//completions` is a slip; the slashes of a model's name are not.
            let collapsed = match rest.split_once('/') {
                Some(("models", id)) => format!("models/{}", id.trim_start_matches('/')),
                Some((head, tail)) => format!("{head}/{}", tail.trim_start_matches('/')),
                // llama.cpp's server has both.
                None if rest == "reranking" => "rerank".to_owned(),
                None => rest.to_owned(),
            };
            format!("/v1/{collapsed}")
        }
        (false, true) => "/".to_owned(),
        (false, false) => format!("/{rest}"),
    };
    if canonical == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(canonical)
    }
}

/// The access to an engine's management that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The path manages no engine.
    Free,
    /// The path manages an engine and is closed; it is given in the spelling of `guard.open`.
    Closed(&'static str),
    /// The path manages an engine and is opened by `guard.open`.
    Opened(Opened),
}

/// A management path that `guard.open` opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The kind of engine that has this path.
    pub kind: EngineKind,
    /// The path on the engine.
    pub path: String,
}

/// Judges a method and a path, both as sent. `open` is `guard.open`.
pub fn access(method: &str, path: &str, open: &[String]) -> Access {
    if path == CHAT {
        return Access::Free;
    }
    let plain = if is_plain(path) {
        Cow::Borrowed(path.strip_prefix("/v1").unwrap_or(path))
    } else {
        Cow::Owned(squeeze(path))
    };
    let mut all = management_paths();
    let is_it =
        |m: &ManagementPath| (m.method == "*" || m.method == method) && covers(m.path, &plain);
    let Some((kind, managed)) = all.find(|(_, path)| is_it(path)) else {
        return Access::Free;
    };
    if open.iter().any(|opened| covers(opened, &plain)) {
        Access::Opened(Opened {
            kind,
            path: plain.into_owned(),
        })
    } else {
        Access::Closed(managed.path)
    }
}

/// Whether a path is in the one form already, so that [`squeeze`] would at most take a leading
/// `/v1` off.
fn is_plain(path: &str) -> bool {
    let one_form = |pair: &[u8]| pair != b"//" && pair != b"/." && pair != b"v1";
    let tail = path.strip_prefix("/v1").unwrap_or(path).as_bytes();
    tail.first() == Some(&b'/')
        && tail.last() != Some(&b'/')
        && tail
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/_-.".contains(b))
        && tail.windows(2).all(one_form)
}

/// One form for all spellings that an engine might read as the same path: escapes resolved, slashes
/// and dots collapsed, letters in lower case.
fn squeeze(path: &str) -> String {
    let lower = unescape(path).to_ascii_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in lower.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            // `;x` parameters are dropped by some servers.
            other => segments.push(other.split(';').next().unwrap_or_default()),
        }
    }
    let start = usize::from(segments.first() == Some(&"v1"));
    format!("/{}", segments[start..].join("/"))
}

/// Resolves percent-escapes once; a `%` that begins no escape stays.
fn unescape(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = escaped {
            out.push(byte);
            rest = &after[2..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_our_endpoints_are_one() {
        for path in [
            "/v1/chat/completions",
            "/chat/completions",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/v1/chat/completions",
            "/v1/chat/completions/",
            "/v1/chat//completions",
        ] {
            assert_eq!(canonical(path), "/v1/chat/completions", "{path}");
        }
        assert_eq!(canonical("/models/"), "/v1/models");
    }

    #[test]
    fn a_models_name_keeps_its_slashes() {
        assert_eq!(
            canonical("/v1/models/hf.co/user/model:Q4"),
            "/v1/models/hf.co/user/model:Q4"
        );
        assert_eq!(canonical("/models/a//b"), "/v1/models/a//b");
        assert_eq!(canonical("/v1/models/v1/x"), "/v1/models/v1/x");
    }

    #[test]
    fn other_paths_stay() {
        for path in ["/", "/healthz", "/metrics", "/crucible/state", "/v10/x"] {
            assert_eq!(canonical(path), path);
        }
    }

    #[test]
    fn management_paths_are_closed_in_every_spelling() {
        for (method, path) in [
            ("POST", "/api/pull"),
            ("POST", "//api//pull"),
            ("POST", "/api/%2e%2e/api/pull"),
            ("POST", "/x/../api/pull"),
            ("POST", "/api%2Fpull"),
            ("POST", "/api/%70ull"),
            ("POST", "/api/pull;a=b"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/blobs/sha256:1"),
            ("POST", "/api/v1/models/load"),
            ("POST", "/v1/models/load"),
            ("POST", "/API/Pull"),
            ("POST", "/props"),
            ("DELETE", "/v1/models"),
            ("GET", "/slots/0"),
        ] {
            let found = access(method, path, &[]);
            assert!(matches!(found, Access::Closed(_)), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/api/tags"),
            ("GET", "/v1/models/pull"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/api/pulley"),
            ("GET", "/props"),
            ("GET", "/models"),
        ] {
            assert_eq!(access(method, path, &[]), Access::Free, "{method} {path}");
        }
    }

    #[test]
    fn a_path_opened_on_purpose_leads_to_its_engine() {
        let open = ["/api/pull".to_owned(), "/models/load".to_owned()];
        for (method, path, kind, on_engine) in [
            ("POST", "/api/pull", EngineKind::Ollama, "/api/pull"),
            ("POST", "/v1//API/Pull/", EngineKind::Ollama, "/api/pull"),
            ("POST", "/models/load", EngineKind::Llamacpp, "/models/load"),
            (
                "POST",
                "/v1/models/load",
                EngineKind::Llamacpp,
                "/models/load",
            ),
        ] {
            let opened = Opened {
                kind,
                path: on_engine.to_owned(),
            };
            assert_eq!(
                access(method, path, &open),
                Access::Opened(opened),
                "{path}"
            );
        }
        let closed = access("POST", "/api/push", &open);
        assert_eq!(closed, Access::Closed("/api/push"));
        assert_eq!(access("POST", "/api/pulled", &open), Access::Free);
    }
}
