//! The request id of header, log and events: the client's own if it is sane, else a new one.

use http::{HeaderName, HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};

/// The header `x-request-id`.
pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The most bytes of an id that is taken over from a client.
const LONGEST: usize = 128;

/// Makes new ids, which are `req_` and 128 random bits in hexadecimal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_bytes(&random()).ok().map(RequestId::new)
    }
}

/// A new id, for a request that could not be read.
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

/// Removes a client's id that must not be echoed into headers and logs.
pub(super) fn drop_insane<B>(mut request: Request<B>) -> Request<B> {
    let sane = request
        .headers()
        .get(&X_REQUEST_ID)
        .is_none_or(|id| is_sane(id.as_bytes()));
    if !sane {
        request.headers_mut().remove(&X_REQUEST_ID);
    }
    request
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
        let new = || NewId.make_request_id(&Request::new(())).unwrap();
        let (one, other) = (new(), new());
        let one = one.header_value().to_str().unwrap();
        let digits = one.strip_prefix("req_").unwrap();
        assert_eq!(digits.len(), 32);
        assert!(u128::from_str_radix(digits, 16).is_ok(), "{digits}");
        assert_ne!(one, other.header_value());
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
            let request = Request::builder()
                .header(&X_REQUEST_ID, id)
                .body(())
                .unwrap();
            let kept = drop_insane(request).headers().contains_key(&X_REQUEST_ID);
            assert_eq!(kept, stays, "{id:?}");
        }
        assert!(!is_sane(&[b'a'; LONGEST + 1]));
    }
}
