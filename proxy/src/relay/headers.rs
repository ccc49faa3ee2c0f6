//! Which headers of a client or an engine go on, and which end here.

use http::{HeaderMap, HeaderName, header};

/// Headers of a client that an engine may see; everything else ends at Crucible, keys first of all.
const PASSED: [HeaderName; 1] = [header::USER_AGENT];

/// The request headers for an engine, from the client's.
pub(crate) fn to_engine(client: &HeaderMap) -> HeaderMap {
    PASSED
        .iter()
        .filter_map(|name| Some((name.clone(), client.get(name)?.clone())))
        .collect()
}

/// Seconds of an engine's `Retry-After`, where it is a plain number.
pub(crate) fn retry_after(engine: &HeaderMap) -> Option<u64> {
    engine
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_and_nothing_hop_by_hop_reaches_an_engine() {
        let mut client = HeaderMap::new();
        for name in [
            "authorization",
            "x-api-key",
            "cookie",
            "origin",
            "referer",
            "host",
            "connection",
            "keep-alive",
            "te",
            "upgrade",
            "proxy-authorization",
            "x-forwarded-for",
            "accept-encoding",
            "user-agent",
        ] {
            client.insert(HeaderName::from_static(name), "x".parse().unwrap());
        }
        let passed = to_engine(&client);
        assert_eq!(passed.keys().collect::<Vec<_>>(), ["user-agent"]);
    }

    #[test]
    fn only_a_number_of_seconds_is_a_wait() {
        for (value, wait) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut engine = HeaderMap::new();
            engine.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&engine), wait);
        }
    }
}
