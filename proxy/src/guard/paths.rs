//! The path table's outer rules: forgiving spellings of ours, closed doors of the engines'.

use std::borrow::Cow;

/// Management paths of engines, as (method or `*`, path prefix); open only by `guard.open`.
///
/// Ollama 0.33 (`server/routes.go`), LM Studio 0.4 REST v1, llama.cpp's router mode.
const MANAGEMENT: [(&str, &str); 18] = [
    ("*", "/api/create"),
    ("*", "/api/pull"),
    ("*", "/api/push"),
    ("*", "/api/copy"),
    ("*", "/api/delete"),
    ("*", "/api/blobs"),
    ("*", "/api/me"),
    ("*", "/api/signout"),
    ("*", "/api/experimental"),
    ("*", "/api/v1/models/load"),
    ("*", "/api/v1/models/unload"),
    ("*", "/api/v1/models/download"),
    ("*", "/models/load"),
    ("*", "/models/unload"),
    ("*", "/slots"),
    ("*", "/lora-adapters"),
    ("POST", "/props"),
    ("DELETE", "/models"),
];

/// What nearly every request asks for.
const CHAT: &str = "/v1/chat/completions";

/// The path as routed: our `/v1` endpoints also at the root, with doubled slashes, `/v1/v1` and a
/// trailing slash. What follows the first segment after `/v1` (a model's name) stays as it is.
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
            "chat" | "models" | "completions" | "embeddings" | "responses" | "messages"
        );
    let canonical = match (ours, rest.is_empty()) {
        (true, true) => "/v1".to_owned(),
        (true, false) => {
            // `chat//completions` is a slip; the slashes of a model's name are not.
            let collapsed = match rest.split_once('/') {
                Some(("models", id)) => format!("models/{}", id.trim_start_matches('/')),
                Some((head, tail)) => format!("{head}/{}", tail.trim_start_matches('/')),
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

/// The management path that `method path` (as sent) would reach on an engine, if it is closed.
pub fn closed(method: &str, path: &str, open: &[String]) -> Option<&'static str> {
    if path == CHAT {
        return None;
    }
    let plain = if is_plain(path) {
        Cow::Borrowed(path.strip_prefix("/v1").unwrap_or(path))
    } else {
        Cow::Owned(squeeze(path))
    };
    if open.iter().any(|o| covers(o.trim_end_matches('/'), &plain)) {
        return None;
    }
    MANAGEMENT
        .iter()
        .find(|(on, prefix)| (*on == "*" || *on == method) && covers(prefix, &plain))
        .map(|(_, prefix)| *prefix)
}

fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Spelled in the one form already: [`squeeze`] would only take a leading `/v1` off.
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

/// One form for the spellings that an engine might still read as the same path.
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

/// Percent-escapes resolved once; what is no escape stays.
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
        ] {
            assert!(closed(method, path, &[]).is_some(), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/api/tags"),
            ("GET", "/v1/models/pull"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/api/pulley"),
        ] {
            assert!(closed(method, path, &[]).is_none(), "{method} {path}");
        }
    }

    #[test]
    fn a_path_opened_on_purpose_is_open() {
        assert!(closed("POST", "/api/pull", &["/api/pull".into()]).is_none());
        assert!(closed("POST", "/api/push", &["/api/pull".into()]).is_some());
    }
}
