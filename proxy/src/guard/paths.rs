//! The engines' management paths, which are closed in every spelling unless `guard.open` names them.

use std::borrow::Cow;

use crucible_config::{
    checked::EngineKind,
    engine_profile::ManagementPath,
    management::{covers, management_paths},
};

use super::base_url::{CHAT, USUAL, canonical};
use crate::error::{Error, ErrorKind};

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

/// The path whose requests go to their handler while it is closed: a pull of a model that is there is
/// answered by Crucible itself.
pub(crate) const PULL: &str = "/api/pull";

/// The refusal of a path that manages an engine and is closed.
pub(crate) fn closed(path: &str) -> Error {
    let message = format!(
        "{path} manages an engine and is closed; call the engine itself, or set guard.open = \
         [\"{path}\"]"
    );
    Error::new(ErrorKind::EndpointClosed, message)
}

/// Judges a method and a path, both as sent. `open` is `guard.open`.
pub fn access(method: &str, path: &str, open: &[String]) -> Access {
    // `DELETE /v1/models` is llama.cpp's.
    if path == CHAT || USUAL.contains(&path) && path != "/v1/models" {
        return Access::Free;
    }
    let plain = if is_plain(path) {
        Cow::Borrowed(path.strip_prefix("/v1").unwrap_or(path))
    } else {
        Cow::Owned(engine_path(path))
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

/// Whether a path is in the one form already, so that [`engine_path`] would at most take a leading `/v1`
/// off.
fn is_plain(path: &str) -> bool {
    let one_form = |pair: &[u8]| {
        !["//", "/.", "v1", "v0"]
            .iter()
            .any(|p| p.as_bytes() == pair)
    };
    let tail = path.strip_prefix("/v1").unwrap_or(path);
    let based_again = tail.get(1..).is_some_and(|rest| rest.contains("/api"));
    let tail = tail.as_bytes();
    !based_again
        && tail.first() == Some(&b'/')
        && tail.last() != Some(&b'/')
        && tail
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/_-.".contains(b))
        && tail.windows(2).all(one_form)
}

/// One form for all spellings that an engine, or [`canonical`], might read as the same path: escapes
/// resolved to the last, slashes, dots and base segments collapsed, letters in lower case, without `/v1`.
fn engine_path(path: &str) -> String {
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
    let joined = format!("/{}", segments.join("/"));
    let canonical = canonical(&joined);
    let rest = canonical.strip_prefix("/v1").unwrap_or(&canonical);
    match rest {
        "" => "/".to_owned(),
        rest => rest.to_owned(),
    }
}

/// Resolves percent-escapes until none is left, also those that others hide (`%252e`): whoever the path is passed to
/// resolves them once more. A `%` that begins no escape stays.
pub(crate) fn unescape(path: &str) -> String {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        out.push(byte);
        // A resolved byte may be the end of another escape.
        while let [.., b'%', high, low] = out[..]
            && let Some(resolved) = hex(high, low)
        {
            out.truncate(out.len() - 3);
            out.push(resolved);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The byte of two digits of base 16.
fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_base_url_opens_a_management_path() {
        for (method, path) in [
            ("POST", "/api/pull"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
            ("POST", "/api/push"),
            ("HEAD", "/api/blobs/sha256:1"),
            ("POST", "/api/v1/models/load"),
            ("POST", "/api/v1/models/unload"),
            ("POST", "/models/load"),
            ("DELETE", "/models"),
            ("GET", "/slots"),
            ("POST", "/props"),
        ] {
            for base in [
                "",
                "/",
                "/v1",
                "/v1/v1",
                "/api",
                "/api/api",
                "/api/v0",
                "/api/v1",
                "/v1/api/v0/v1",
                "/x/..",
                "/API",
                "/%61pi",
                "/v1;x",
            ] {
                let spelled = format!("{base}{path}");
                // Neither as it came, nor as the path table would see it.
                for path in [&*spelled, &*canonical(&spelled)] {
                    let found = access(method, path, &[]);
                    let leads = canonical(path);
                    let managed = leads == path
                        && management_paths()
                            .any(|(_, m)| covers(m.path, path.strip_prefix("/v1").unwrap_or(path)));
                    assert!(
                        !managed || matches!(found, Access::Closed(_)),
                        "{method} {path}: {found:?}"
                    );
                    assert!(!matches!(found, Access::Opened(_)), "{method} {path}");
                }
            }
        }
        for path in [
            "/api/api/pull",
            "/v1/api/pull",
            "/api/v0/api/pull",
            "/api%2Fapi/pull",
            "/api/v1/api//pull",
        ] {
            assert_eq!(
                access("POST", path, &[]),
                Access::Closed("/api/pull"),
                "{path}"
            );
        }
    }

    proptest::proptest! {
        /// What the path table sees is judged as what was sent, and the one form of the one form is itself.
        #[test]
        fn a_path_means_one_thing(parts in proptest::collection::vec(proptest::sample::select(vec![
            "v1", "api", "v0", "", "pull", "delete", "models", "load", "chat", "completions", "embeddings",
            "slots", "props", "..", ".", "%61pi", "API", "x",
        ]), 0..7), method in proptest::sample::select(vec!["GET", "POST", "DELETE"])) {
            let path = format!("/{}", parts.join("/"));
            let once = canonical(&path).into_owned();
            proptest::prop_assert_eq!(canonical(&once), &*once);
            let dotted = once.split('/').any(|segment| matches!(segment, "." | ".."));
            if !dotted && matches!(access(method, &once, &[]), Access::Free) {
                let plain = once.strip_prefix("/v1").unwrap_or(&once);
                let managed = management_paths().any(|(_, m)| (m.method == "*" || m.method == method) && covers(m.path, plain));
                proptest::prop_assert!(!managed, "{} is open", once);
            }
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
            ("POST", "/api/%2570ull"),
            ("POST", "/api/%25%37%30ull"),
            ("DELETE", "/api/blobs/%252e%252e/delete"),
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
        // What is opened opens nothing beside it, however its dots are written.
        let blobs = ["/api/blobs".to_owned()];
        for dots in ["..", "%2e%2e", "%252e%252e", "%25252e.", "%%32e%%32e"] {
            let path = format!("/api/blobs/{dots}/delete");
            let found = access("DELETE", &path, &blobs);
            assert_eq!(found, Access::Closed("/api/delete"), "{path}");
        }
        let closed = access("POST", "/api/push", &open);
        assert_eq!(closed, Access::Closed("/api/push"));
        assert_eq!(access("POST", "/api/pulled", &open), Access::Free);
    }
}
