//! Requests as read and replies as built: the thin layer over hyper that all engines share.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Reply = Response<Body>;

/// A request read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) seq: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) json: Option<Value>,
}

// === impl Call ===

impl Call {
    /// A top-level key of the body.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.json.as_ref()?.get(key)
    }

    pub(crate) fn wants_stream(&self) -> bool {
        self.get("stream").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The token of `Authorization: Bearer` or `x-api-key`.
    pub(crate) fn token(&self) -> Option<&str> {
        let text = |name: &str| self.headers.get(name)?.to_str().ok();
        text("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .or_else(|| text("x-api-key"))
    }
}

pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(crate) fn full(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut reply = Response::new(body);
    *reply.status_mut() = status(code);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

pub(crate) fn json(code: u16, value: &Value) -> Reply {
    full(code, "application/json; charset=utf-8", value.to_string())
}

pub(crate) fn text(code: u16, body: &str) -> Reply {
    full(code, "text/plain", body.to_owned())
}

pub(crate) fn stream(
    content_type: &'static str,
    parts: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
) -> Reply {
    let body = BodyExt::boxed_unsync(StreamBody::new(parts.map_ok(Frame::data)));
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

pub(crate) fn with_header(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    reply
}
