//! The request id of header, log and events: the client's own if it is sane, else a new one.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header `x-request-id`.
pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The most bytes of an id that is taken over from a client.
const LONGEST: usize = 128;

/// The id of a request with these headers: the client's own if it is sane, which may then be echoed into
/// headers and logs, else a new one.
pub(super) fn of(headers: &HeaderMap) -> Arc<str> {
    let own = headers.get(&X_REQUEST_ID).map(HeaderValue::as_bytes);
    let own = own.filter(|id| is_sane(id));
    match own.and_then(|id| str::from_utf8(id).ok()) {
        Some(id) => id.into(),
        None => new().into(),
    }
}

/// Adds the id to the headers of an answer that has none.
pub(super) fn add(headers: &mut HeaderMap, id: &str) {
    if !headers.contains_key(&X_REQUEST_ID)
        && let Ok(id) = HeaderValue::from_str(id)
    {
        headers.insert(&X_REQUEST_ID, id);
    }
}

/// A new id: `req_` and 128 random bits in hexadecimal.
pub(super) fn new() -> String {
    String::from_utf8_lossy(&random()).into_owned()
}

fn random() -> [u8; 36] {
    let mut id = *b"req_00000000000000000000000000000000";
    let (_, digits) = id.split_at_mut(4);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(rand::random::<[u8; 16]>()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    id
}

fn is_sane(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_128_bits_in_hexadecimal_and_differ() {
        let (one, other) = (of(&HeaderMap::new()), of(&HeaderMap::new()));
        let digits = one.strip_prefix("req_").unwrap();
        assert_eq!(digits.len(), 32);
        assert!(u128::from_str_radix(digits, 16).is_ok(), "{digits}");
        assert_ne!(one, other);
    }

    #[test]
    fn a_sane_id_stays_and_an_odd_one_goes() {
        for (id, stays) in [
            ("abc-123", true),
            ("3f2a:1/2.x", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(&X_REQUEST_ID, HeaderValue::from_static(id));
            assert_eq!(&*of(&headers) == id, stays, "{id:?}");
        }
        assert!(!is_sane(&[b'a'; LONGEST + 1]));
    }

    #[test]
    fn an_answer_that_has_an_id_keeps_it() {
        let mut headers = HeaderMap::new();
        add(&mut headers, "first");
        add(&mut headers, "second");
        assert_eq!(headers[&X_REQUEST_ID], "first");
    }
}
