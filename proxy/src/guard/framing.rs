//! The framing rule: a request says once, and in one way, where its body ends (RFC 9112, sections 6
//! and 7).
//!
//! Two readers that find different ends see different requests in the same bytes. hyper refuses a
//! framing that it cannot read and closes after a body with both framings; framings that hyper
//! reads in a way of its own are refused here, and the answer closes the connection.

use http::{HeaderMap, header};

use crate::error::{Error, ErrorKind};

/// Refuses every `Transfer-Encoding` but a single `chunked`. The error is 400 `bad_request`.
pub(super) fn judge(headers: &HeaderMap) -> Result<(), Error> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else {
        return Ok(());
    };
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Error::new(
            ErrorKind::BadRequest,
            "the request has both Content-Length and Transfer-Encoding; send one of them",
        ));
    }
    let once = codings.next().is_none();
    if once
        && first
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::BadRequest,
        "Transfer-Encoding may only be `chunked`, once; the connection is closed",
    ))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_chunked_is_a_framing() {
        let judged = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::TRANSFER_ENCODING, HeaderValue::from_static(value));
            }
            judge(&headers).map_err(|error| error.kind)
        };
        for good in [&[][..], &["chunked"], &["Chunked"], &[" chunked\t"]] {
            assert_eq!(judged(good), Ok(()), "{good:?}");
        }
        for bad in [
            &["chunked", "chunked"][..],
            &["chunked, chunked"],
            &["identity, chunked"],
            &["identity", "chunked"],
            &["gzip, chunked"],
            &[",chunked"],
            &["", "chunked"],
            &["chunked;q=1"],
            &["\"chunked\""],
        ] {
            assert_eq!(judged(bad), Err(ErrorKind::BadRequest), "{bad:?}");
        }
    }
}
