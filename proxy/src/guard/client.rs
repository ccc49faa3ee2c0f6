//! The identity of a client, by which queues, limits and learned numbers are shared among clients.

use std::borrow::Cow;

use crucible_config::checked::ClientKey;
use crucible_router::client::ClientId;
use http::{HeaderMap, header};

/// The bytes of a User-Agent's product that count; what follows is cut off.
const LONGEST_PRODUCT: usize = 64;

/// The client of a request: the name of its key, else its [`program`] (RFC 9110, section 10.1.5: the
/// part of the User-Agent before the version) together with the address of the connection, `peer`.
/// `OpenAI/Python 2.1` and `OpenAI/JS 6.0` are one client; a program without a User-Agent is known
/// by its address alone.
pub(crate) fn client(program: &str, peer: Option<&str>, key: Option<&ClientKey>) -> ClientId {
    match key {
        Some(key) => ClientId::of_key(&key.name),
        None => ClientId::of_program(program, peer.unwrap_or_default()),
    }
}

/// The name by which a program calls itself: the product of its User-Agent, cut off at
/// [`LONGEST_PRODUCT`]; empty where it sends none.
pub(crate) fn program(headers: &HeaderMap) -> Cow<'_, str> {
    let agent = headers
        .get(header::USER_AGENT)
        .map(http::HeaderValue::as_bytes)
        .unwrap_or_default();
    let end = agent
        .iter()
        .position(|b| *b == b'/' || b.is_ascii_whitespace())
        .unwrap_or(agent.len());
    String::from_utf8_lossy(&agent[..end.min(LONGEST_PRODUCT)])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(agent: Option<&str>, peer: &str) -> String {
        let mut headers = HeaderMap::new();
        if let Some(agent) = agent {
            headers.insert(header::USER_AGENT, HeaderValue::from_str(agent).unwrap());
        }
        client(&program(&headers), Some(peer), None).to_string()
    }

    #[test]
    fn a_client_is_its_product_and_address() {
        let long = "x".repeat(4000);
        let cases = [
            (
                Some("opencode/1.2.3 (linux)"),
                "127.0.0.1",
                "opencode@127.0.0.1",
            ),
            (Some("opencode/9"), "127.0.0.1", "opencode@127.0.0.1"),
            (Some("curl"), "10.0.0.2", "curl@10.0.0.2"),
            (Some("Mozilla 5.0"), "::1", "Mozilla@::1"),
            (Some(""), "::1", "@::1"),
            (None, "::1", "@::1"),
        ];
        for (agent, peer, expected) in cases {
            assert_eq!(of(agent, peer), expected, "{agent:?}");
        }
        assert_eq!(of(Some(&long), "::1").len(), LONGEST_PRODUCT + "@::1".len());
    }
}
