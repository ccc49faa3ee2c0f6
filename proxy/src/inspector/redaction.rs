//! The parts of a request's head that are kept. Secrets are never among them: only values that are known to be
//! harmless are kept, and of everything else the name alone.

use crucible_documents::inspector::InspectedHeaderDoc;
use http::{HeaderMap, Method, Uri};
use url::form_urlencoded;

/// The headers whose values are kept.
const HARMLESS: [&str; 11] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-crucible-engine",
    "x-request-id",
    "x-stainless-lang",
];

/// The keys of a query whose values are kept.
const HARMLESS_KEYS: [&str; 2] = ["beta", "model"];

/// The headers that carry a client's key, as they are written in a command line.
const KEY_HEADERS: [(&str, &str); 3] = [
    ("authorization", "Authorization: Bearer"),
    ("x-api-key", "x-api-key:"),
    ("api-key", "api-key:"),
];

/// The most headers that are kept.
const MOST_HEADERS: usize = 64;
/// The most bytes of a header's value, or of a path, that are kept.
const LONGEST: usize = 1024;

/// The head of a request as it is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptHead {
    /// The method.
    pub(super) method: String,
    /// The path, with the names of its query.
    pub(super) target: String,
    /// The headers.
    pub(super) headers: Vec<InspectedHeaderDoc>,
    /// The beginning of the header that carried a key.
    pub(super) key_header: Option<&'static str>,
}

// === impl KeptHead ===

impl KeptHead {
    /// Returns what is kept of a head.
    pub(super) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let kept = headers.iter().take(MOST_HEADERS).map(|(name, value)| {
            let is_harmless = HARMLESS.contains(&name.as_str());
            let value = is_harmless.then(|| shortened(&String::from_utf8_lossy(value.as_bytes())));
            InspectedHeaderDoc {
                name: name.as_str().to_owned(),
                value,
            }
        });
        let mut carriers = KEY_HEADERS.iter();
        let carrier = carriers.find(|(name, _)| headers.contains_key(*name));
        Self {
            method: shortened(method.as_str()),
            target: target(uri),
            headers: kept.collect(),
            key_header: carrier.map(|(_, written)| *written),
        }
    }

    /// Returns the value of a header that is kept.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name == name)?;
        found.value.as_deref()
    }
}

fn target(uri: &Uri) -> String {
    let mut target = shortened(uri.path());
    let Some(query) = uri.query() else {
        return target;
    };
    let mut separator = '?';
    for (key, value) in form_urlencoded::parse(query.as_bytes()).take(8) {
        let value = if HARMLESS_KEYS.contains(&&*key) {
            shortened(&value)
        } else {
            "...".to_owned()
        };
        // A query without `=` may be a secret itself.
        let key = if query.contains('=') { &*key } else { "..." };
        target.push(separator);
        target.push_str(&shortened(key));
        target.push('=');
        target.push_str(&value);
        separator = '&';
    }
    target
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn no_value_is_kept_that_may_be_a_secret() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer crk-secret"),
            ("x-api-key", "crk-secret"),
            ("cookie", "session=crk-secret"),
            ("x-whatever", "crk-secret"),
            ("user-agent", "opencode/1.2"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for query in ["key=crk-secret&beta=true", "crk-secret", "a=crk-secret&b"] {
            let uri = format!("/v1/messages?{query}").parse().unwrap();
            let kept = KeptHead::of(&Method::POST, &uri, &headers);
            let all = format!("{kept:?}");
            assert!(!all.contains("crk-secret"), "{all}");
            assert_eq!(kept.header("user-agent"), Some("opencode/1.2"));
            assert_eq!(kept.header("cookie"), None);
            assert_eq!(kept.key_header, Some("Authorization: Bearer"));
            assert_eq!(kept.headers.len(), 5);
        }
        let uri = "/v1/messages?key=x&beta=true".parse().unwrap();
        let kept = KeptHead::of(&Method::POST, &uri, &headers);
        assert_eq!(kept.target, "/v1/messages?key=...&beta=true");
    }
}
