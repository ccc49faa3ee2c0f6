//! JSON calls to an engine's control side, bounded and distrustful.
//!
//! One client without proxy and redirects. Every answer is read up to [`BODY_LIMIT`], parsed as a
//! loose value and looked through for an error that hides inside a success (LM Studio answers
//! unknown paths and failed loads with 200). Error texts never hold an address or a token.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION};
use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;
use url::Url;

use super::EngineError;
use crate::hop;

/// Longest answer that is read, in bytes.
const BODY_LIMIT: usize = 16 << 20;
/// Longest error text that is kept, in characters.
const MESSAGE_LIMIT: usize = 500;

/// An HTTP client for engines: HTTP/1.1, no proxy, no redirects, no overall time limit (the
/// caller bounds each call), and the number of this Crucible in a header. `connect` bounds the TCP
/// connect.
///
/// Each call has a connection of its own: llama.cpp (cpp-httplib, build 11549) closes an idle one
/// after 5 s, as Node's servers do, which is when the next poll comes; a call on it fails.
pub fn client(connect: Duration) -> Result<Client, reqwest::Error> {
    let mut headers = HeaderMap::new();
    if let Ok(own) = HeaderValue::from_str(hop::own()) {
        headers.insert(HeaderName::from_static(hop::HEADER), own);
    }
    Client::builder()
        .default_headers(headers)
        .no_proxy()
        .redirect(Policy::none())
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(connect)
        .build()
}

/// An engine's address and how to talk to it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

// === impl Endpoint ===

impl Endpoint {
    /// `token` is sent as a bearer token; one that no header can carry is left out.
    pub(crate) fn new(client: Client, base: Url, token: Option<&str>) -> Self {
        let authorization = token.and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            client,
            base,
            authorization,
        }
    }

    /// The address that paths are appended to.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, EngineError> {
        let response = self.send(Method::GET, path, None).await?;
        read_json(response).await
    }

    /// As [`Self::get`], with a query.
    pub(crate) async fn get_with(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Value, EngineError> {
        let mut url = append(&self.base, path);
        url.query_pairs_mut().extend_pairs(query);
        let response = self.send_to(Method::GET, url, None).await?;
        read_json(response).await
    }

    /// The same client for another address, without the token.
    pub(crate) fn elsewhere(&self, base: Url) -> Self {
        Self {
            client: self.client.clone(),
            base,
            authorization: None,
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, EngineError> {
        let response = self.send(Method::POST, path, Some(body)).await?;
        read_json(response).await
    }

    /// Status, `Server` header and text of a GET, whatever they are.
    pub(crate) async fn get_text(
        &self,
        path: &str,
    ) -> Result<(u16, Option<String>, String), EngineError> {
        let response = self.send(Method::GET, path, None).await?;
        let status = response.status().as_u16();
        let server = response
            .headers()
            .get(http::header::SERVER)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let body = read_body(response).await?;
        Ok((status, server, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, EngineError> {
        self.send_to(method, append(&self.base, path), body).await
    }

    async fn send_to(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Response, EngineError> {
        let mut request = self.client.request(method, url);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(transport_error)
    }
}

/// `base` with `path` after whatever path it has.
pub(crate) fn append(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!("{}{path}", base.path().trim_end_matches('/'));
    url.set_path(&joined);
    url.set_query(None);
    url
}

/// The error that an answer's body carries, in the engine's words: `{"error": "text"}`,
/// `{"error": {"message": ...}}` or a bare JSON string.
pub(crate) fn hidden_error(body: &Value) -> Option<String> {
    let message = match body {
        Value::String(text) => text.clone(),
        Value::Object(map) => match map.get("error")? {
            Value::Null | Value::Bool(false) => return None,
            Value::String(text) => text.clone(),
            error @ Value::Object(fields) => ["message", "code", "type"]
                .iter()
                .find_map(|key| fields.get(*key).and_then(Value::as_str))
                .map_or_else(|| error.to_string(), str::to_owned),
            other => other.to_string(),
        },
        _ => return None,
    };
    Some(shorten(&message))
}

async fn read_json(response: Response) -> Result<Value, EngineError> {
    let status = response.status();
    let body = read_body(response).await?;
    let parsed = serde_json::from_slice::<Value>(&body);
    if !status.is_success() {
        let message = parsed
            .ok()
            .as_ref()
            .and_then(hidden_error)
            .unwrap_or_else(|| {
                let text = String::from_utf8_lossy(&body);
                let status = status.as_u16();
                match text.trim() {
                    "" => format!("HTTP {status}"),
                    page if page.starts_with('<') => format!("HTTP {status} with a web page"),
                    text => format!("HTTP {status}: {}", shorten(text)),
                }
            });
        return Err(EngineError::Refused {
            status: status.as_u16(),
            message,
        });
    }
    let value = parsed.map_err(|error| {
        EngineError::Unexpected(match body.trim_ascii_start().first() {
            None => "the answer is empty".to_owned(),
            Some(b'<') => "the answer is a web page".to_owned(),
            Some(_) => format!("the answer is not JSON: {error}"),
        })
    })?;
    match hidden_error(&value) {
        Some(message) => Err(EngineError::Refused {
            status: status.as_u16(),
            message,
        }),
        None => Ok(value),
    }
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, EngineError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport_error)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(EngineError::Unexpected(format!(
                "the answer is longer than {BODY_LIMIT} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause says what happened ("Connection refused"); the outer ones repeat the URL.
fn transport_error(error: reqwest::Error) -> EngineError {
    if error.is_timeout() && !error.is_connect() {
        return EngineError::Timeout;
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut refused = false;
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        refused |= inner
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        source = inner.source();
    }
    if refused {
        EngineError::NobodyListens(shorten(&text))
    } else {
        EngineError::Unreachable(shorten(&text))
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

// Loose reading of values: a missing or oddly typed field is `None`, never an error.

/// The array under `key`, else nothing.
pub(crate) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], |v| v)
}

/// A non-empty string.
pub(crate) fn text(value: &Value, key: &str) -> Option<String> {
    name(value, key).map(|s| s.to_string())
}

/// A non-empty string as a name.
pub(crate) fn name(value: &Value, key: &str) -> Option<Arc<str>> {
    value
        .get(key)
        .and_then(Value::as_str)
        .filter(|s| !s.is_empty())
        .map(Arc::from)
}

/// A count, also where it is written as a float or as text.
pub(crate) fn count(value: &Value, key: &str) -> Option<u64> {
    match value.get(key)? {
        Value::Number(n) => n.as_u64().or_else(|| {
            let float = n.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        }),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

/// A count that fits 32 bits.
pub(crate) fn count32(value: &Value, key: &str) -> Option<u32> {
    count(value, key).and_then(|n| u32::try_from(n).ok())
}

/// A boolean.
pub(crate) fn flag(value: &Value, key: &str) -> Option<bool> {
    value.get(key).and_then(Value::as_bool)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    /// The server answers once on each connection and keeps it open.
    #[tokio::test]
    async fn each_call_has_a_connection_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let second = Duration::from_secs(1);
        let endpoint = Endpoint::new(client(second).unwrap(), url.parse().unwrap(), None);
        let serving = async {
            let mut open = Vec::new();
            for _ in 0..2 {
                let (mut socket, _) = listener.accept().await.unwrap();
                assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                socket.write_all(answer).await.unwrap();
                open.push(socket);
            }
            open
        };
        let asking = async {
            endpoint.get("/one").await.unwrap();
            endpoint.get("/two").await.unwrap();
        };
        let both = async { tokio::join!(serving, asking) };
        timeout(10 * second, both).await.unwrap();
    }

    #[test]
    fn errors_are_found_in_every_form() {
        let cases = [
            (json!({"error": "no"}), Some("no")),
            (json!({"error": {"message": "no"}}), Some("no")),
            (json!({"error": {"code": "bad"}}), Some("bad")),
            (json!("Unexpected endpoint"), Some("Unexpected endpoint")),
            (json!({"error": null, "models": []}), None),
            (json!({"models": []}), None),
            (json!([]), None),
        ];
        for (body, expected) in cases {
            assert_eq!(hidden_error(&body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn paths_follow_a_prefix() {
        let base = Url::parse("http://h:1/gateway/").unwrap();
        assert_eq!(
            append(&base, "/v1/models").as_str(),
            "http://h:1/gateway/v1/models"
        );
    }

    #[test]
    fn odd_types_are_absent_not_fatal() {
        let value = json!({"a": 4096.0, "b": "12", "c": {}, "d": -1, "e": ""});
        assert_eq!(count(&value, "a"), Some(4096));
        assert_eq!(count(&value, "b"), Some(12));
        assert_eq!(count(&value, "c"), None);
        assert_eq!(count(&value, "d"), None);
        assert_eq!(text(&value, "e"), None);
        assert_eq!(flag(&value, "a"), None);
    }
}
