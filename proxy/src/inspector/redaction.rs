//! The parts of a request's head that are kept. Secrets are never among them: only values that are known to be
//! harmless are kept, and of everything else the name alone.

use crucible_documents::inspector::InspectedHeaderDoc;
use http::{
    HeaderMap, Method, Uri,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
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

/// The pairs of a query that are kept whole.
const HARMLESS_PAIRS: [(&str, &str); 3] = [("beta", "true"), ("beta", "false"), ("beta", "1")];
/// The keys of a query that are kept; every other may be a secret itself.
const HARMLESS_KEYS: [&str; 6] = ["alt", "api-version", "beta", "key", "model", "stream"];
/// The most pairs of a query that are kept.
const MOST_PAIRS: usize = 8;

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
    /// The path, with what is kept of its query, for a person to read.
    pub(super) target: String,
    /// The path, with those pairs of its query alone that are kept whole.
    pub(super) sent_again: String,
    /// Whether the query had more than that.
    pub(super) is_cut: bool,
    /// Whether the head says that a body follows.
    pub(super) has_body: bool,
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
        let path = shortened(uri.path());
        let (shown, whole, is_cut) = query(uri.query().unwrap_or_default());
        Self {
            method: shortened(method.as_str()),
            target: format!("{path}{shown}"),
            sent_again: format!("{path}{whole}"),
            is_cut: is_cut || path.len() < uri.path().len(),
            has_body: has_body(headers),
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

/// Whether a body follows a head, by its framing (RFC 9112, section 6.3).
fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    length.is_some_and(|length| length != "0") || headers.contains_key(TRANSFER_ENCODING)
}

/// Returns a query as a person may read it and its pairs that are kept whole, both with their question mark, and
/// whether there was more than these.
fn query(query: &str) -> (String, String, bool) {
    let (mut shown, mut whole) = (Vec::new(), Vec::new());
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    for (key, value) in pairs.by_ref().take(MOST_PAIRS) {
        let (key, value) = (&*key, &*value);
        if HARMLESS_PAIRS.contains(&(key, value)) {
            whole.push(format!("{key}={value}"));
            shown.push(format!("{key}={value}"));
        } else if HARMLESS_KEYS.contains(&key) {
            shown.push(format!("{key}=..."));
        } else {
            shown.push("...".to_owned());
        }
    }
    if pairs.next().is_some() {
        shown.push("...".to_owned());
    }
    let is_cut = shown.len() > whole.len();
    let joined = |pairs: &[String]| match pairs {
        [] => String::new(),
        pairs => format!("?{}", pairs.join("&")),
    };
    (joined(&shown), joined(&whole), is_cut)
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
        for query in [
            "key=crk-secret&beta=true",
            "crk-secret",
            "a=crk-secret&b",
            "crk-secret&beta=true",
            "crk-secret==",
            "a=1&crk-secret",
            "crk-secret=1",
            "beta=crk-secret",
            "model=crk-secret",
            "beta=true&beta=true&beta=true&beta=true&beta=true&beta=true&beta=true&beta=true&crk-secret",
        ] {
            let uri = format!("/v1/messages?{query}").parse().unwrap();
            let kept = KeptHead::of(&Method::POST, &uri, &headers);
            let all = format!("{kept:?}");
            assert!(!all.contains("crk-secret"), "{all}");
            assert_eq!(kept.header("user-agent"), Some("opencode/1.2"));
            assert_eq!(kept.header("cookie"), None);
            assert_eq!(kept.key_header, Some("Authorization: Bearer"));
            assert_eq!(kept.headers.len(), 5);
        }
        let uri = "/v1/messages?key=x&beta=true&crk-secret".parse().unwrap();
        let kept = KeptHead::of(&Method::POST, &uri, &headers);
        assert_eq!(kept.target, "/v1/messages?key=...&beta=true&...");
        assert_eq!(kept.sent_again, "/v1/messages?beta=true");
        assert!(kept.is_cut);
        let uri = "/v1/messages?beta=true".parse().unwrap();
        assert!(!KeptHead::of(&Method::POST, &uri, &headers).is_cut);
    }
}
