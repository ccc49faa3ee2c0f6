//! Error answers to bytes that are no request, written on the socket itself: neither hyper nor the stack
//! ever sees a request there.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::error::{Error, ErrorKind};

/// The most header lines that are read, which is hyper's own bound.
const MOST_HEAD_LINES: usize = 100;

/// The callback for each answer to unreadable bytes. It counts and logs the error like that of any
/// other request, and returns the parts of the answer that depend on this: the logged id and the
/// body.
pub type OnRefuse = Arc<dyn Fn(&Error) -> SocketRefusal + Send + Sync>;

/// The two parts of an answer to unreadable bytes that the server cannot make itself: the JSON
/// body, and the id for the header `x-request-id`.
#[derive(Clone, Debug, Default)]
pub struct SocketRefusal {
    /// The id under which the error is logged, which is sent as `x-request-id`.
    pub request_id: String,
    /// The error, a JSON document in the format of a client that named none.
    pub body: Bytes,
}

/// The protocol that the first bytes of a request are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientProtocol {
    /// HTTP/1.1, or nothing that can be told from it.
    #[default]
    Http,
    /// TLS: the bytes are a client hello.
    Tls,
    /// HTTP/2 with prior knowledge: the bytes are its connection preface.
    Http2,
}

/// Counts over the bytes of a request's head as they come, by which the cause of hyper's refusal is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadScan {
    protocol: ClientProtocol,
    bytes: usize,
    lines: usize,
}

/// An answer that is written past hyper, after which the connection closes.
pub(super) struct SocketReply {
    /// The whole answer, head and body.
    pub(super) bytes: Vec<u8>,
    /// The bytes of it that the system has taken.
    pub(super) sent: usize,
}

// === impl ClientProtocol ===

impl ClientProtocol {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"\x16\x03") {
            Self::Tls
        } else if bytes.starts_with(b"PRI * HTTP/2") {
            Self::Http2
        } else {
            Self::Http
        }
    }
}

// === impl HeadScan ===

impl HeadScan {
    /// Begins with the first bytes of a head.
    pub(super) fn begun(bytes: &[u8]) -> Self {
        let mut head = Self {
            protocol: ClientProtocol::of(bytes),
            ..Self::default()
        };
        head.extend(bytes);
        head
    }

    /// Goes on with further bytes of the head.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        // What comes behind a blank line is the body.
        let goes_on = |end: &usize| !bytes[end + 1..].starts_with(b"\r\n");
        let ends = memchr::memchr_iter(b'\n', bytes);
        self.lines += ends.take_while(goes_on).count();
    }

    /// The error of which hyper only says this status, where `most` header bytes are allowed; `None` for
    /// statuses that hyper does not answer a head with.
    pub(super) fn fault(&self, status: &[u8], most: usize) -> Option<Error> {
        Some(match status {
            b"400" | b"414" | b"505" => self.malformed(),
            // Also hyper's word for the one length that it has no number for.
            b"431" if (1..most).contains(&self.bytes) && self.lines <= MOST_HEAD_LINES => {
                Error::new(
                    ErrorKind::BodyTooLarge,
                    "Content-Length is larger than limits.body",
                )
            }
            b"431" => Error::new(
                ErrorKind::HeadersTooLarge,
                "the headers are larger than limits.header, or more than 100; send fewer or \
                 shorter headers",
            ),
            _ => return None,
        })
    }

    /// The error of a head that cannot be read, in words for the protocol that the client speaks.
    pub(super) fn malformed(&self) -> Error {
        let message = match self.protocol {
            ClientProtocol::Http => {
                "the request line or a header is not valid HTTP/1.1; the connection is closed"
            }
            ClientProtocol::Tls => {
                "this port speaks plain HTTP and got a TLS hello; write http:// in the client's \
                 address, or put a server that ends TLS before Crucible"
            }
            ClientProtocol::Http2 => {
                "this port speaks HTTP/1.1 and got the beginning of HTTP/2; let the client use \
                 HTTP/1.1"
            }
        };
        Error::new(ErrorKind::BadRequest, message)
    }

    /// Whether the client speaks HTTP/2, to which hyper closes without an answer.
    pub(super) fn is_http2(&self) -> bool {
        self.protocol == ClientProtocol::Http2
    }
}

// === impl SocketReply ===

impl SocketReply {
    /// A whole HTTP/1.1 answer that closes the connection.
    pub(super) fn new(error: &Error, refusal: &SocketRefusal, now: SystemTime) -> Self {
        let SocketRefusal { request_id, body } = refusal;
        let status = error.status();
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             x-request-id: {request_id}\r\ndate: {}\r\nconnection: close\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
            httpdate::fmt_http_date(now),
        );
        Self {
            bytes: [head.as_bytes(), body].concat(),
            sent: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_wrong_with_the_head() {
        let many = "X: 1\n".repeat(101);
        let long = "x".repeat(512);
        let whole = format!("POST / HTTP/1.1\r\n\r\n{}", "\n".repeat(101));
        for (head, status, kind, word) in [
            ("GET / HTTP/3.7", "400", ErrorKind::BadRequest, "HTTP/1.1"),
            ("\x16\x03\x01", "400", ErrorKind::BadRequest, "TLS"),
            ("PRI * HTTP/2.0", "400", ErrorKind::BadRequest, "HTTP/2"),
            // Lines of a body are none of the head.
            (&whole, "431", ErrorKind::BodyTooLarge, "limits.body"),
            (&many, "431", ErrorKind::HeadersTooLarge, "limits.header"),
            (&long, "431", ErrorKind::HeadersTooLarge, "limits.header"),
            // Not seen from its beginning.
            ("", "431", ErrorKind::HeadersTooLarge, "limits.header"),
        ] {
            let (first, rest) = head.as_bytes().split_at(head.len().min(16));
            let mut seen = HeadScan::begun(first);
            seen.extend(rest);
            let error = seen.fault(status.as_bytes(), 512).unwrap();
            assert_eq!(error.kind, kind, "{head}");
            assert!(error.message.contains(word), "{head}: {error}");
        }
        assert!(HeadScan::default().fault(b"200", 512).is_none());
    }

    #[test]
    fn an_answer_is_whole_and_closes() {
        let error = Error::new(ErrorKind::RequestTimeout, "late");
        let refusal = SocketRefusal {
            request_id: "req_1".to_owned(),
            body: "{\"error\":1}".into(),
        };
        let reply = SocketReply::new(&error, &refusal, SystemTime::UNIX_EPOCH);
        let text = String::from_utf8(reply.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        assert!(head.contains("\r\nx-request-id: req_1\r\n"));
        assert!(head.contains("\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
        assert!(head.ends_with("\r\nconnection: close"));
        assert_eq!(body, "{\"error\":1}");
    }
}
