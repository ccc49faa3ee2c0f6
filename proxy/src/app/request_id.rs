//! `x-request-id`: the client's if it is sane, else a new one.

use http::{HeaderName, HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};

/// The header.
pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over.
const LONGEST: usize = 128;

/// Makes new ids: `req_` and 128 random bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = format!("req_{:032x}", rand::random::<u128>());
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
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
