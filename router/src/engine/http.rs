//! JSON calls to an engine's control side, bounded and distrustful.
//!
//! One client without proxy and redirects. Every answer is read up to [`BODY_LIMIT`], parsed as a
//! loose value and looked through for an error that hides inside a success (LM Studio answers
//! unknown paths and failed loads with 200). Error texts never hold an address or a token.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde_json::Value;
use url::form_urlencoded;

use super::EngineError;
use crate::{
    hop,
    transport::{
        AddressError, AnswerBody, ConnectError, Connector, EngineAddress, Transport, exchange,
    },
};

/// The longest answer that is read, in bytes.
const BODY_LIMIT: usize = 16 << 20;
/// The longest error text that is kept, in characters.
const MESSAGE_LIMIT: usize = 500;

/// An HTTP client for the control side of engines: HTTP/1.1, no proxy, no redirects, no overall time
/// limit (the caller bounds each call), and the number of this Crucible in a header. Cheap to clone.
///
/// Each call has a connection of its own: llama.cpp (cpp-httplib, build 11549) closes an idle one
/// after 5 s, as Node's servers do, which is when the next poll comes; a call on it fails.
#[derive(Clone, Debug)]
pub struct Client {
    connector: Connector,
}

/// A client for the control side of engines. `connect` bounds each connection.
pub fn client(connect: Duration) -> Client {
    Client {
        connector: Connector::new(connect),
    }
}

/// An engine's address and how to talk to it.
#[derive(Clone, Debug)]
pub(crate) struct EngineEndpoint {
    client: Client,
    address: EngineAddress,
    authorization: Option<HeaderValue>,
}

impl From<AddressError> for EngineError {
    fn from(error: AddressError) -> Self {
        Self::Unexpected(error.to_string())
    }
}

/// An answer that was read to its end.
struct ControlAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

// === impl Client ===

impl Client {
    /// Opens a connection for anything but HTTP requests.
    pub(crate) async fn connect(&self, address: &EngineAddress) -> Result<Transport, EngineError> {
        let connected = self.connector.connect(address).await;
        connected.map_err(|error| match error {
            ConnectError::Refused(ref text) => EngineError::NobodyListens(shorten(text)),
            ConnectError::Failed(_) | ConnectError::Tls(_) => {
                EngineError::Unreachable(shorten(&error.to_string()))
            }
        })
    }

    /// Sends a request on a connection of its own and reads the answer to its end.
    async fn call(
        &self,
        address: &EngineAddress,
        request: Request<Full<Bytes>>,
    ) -> Result<ControlAnswer, EngineError> {
        let transport = self.connect(address).await?;
        let answer = exchange(transport, request).await;
        let (head, body) = answer.map_err(|e| broken(&e.error))?.into_parts();
        Ok(ControlAnswer {
            status: head.status,
            headers: head.headers,
            body: read_body(body).await?,
        })
    }
}

// === impl EngineEndpoint ===

impl EngineEndpoint {
    /// `token` is sent as a bearer token; one that no header can carry is left out.
    pub(crate) fn new(client: Client, address: EngineAddress, token: Option<&str>) -> Self {
        let authorization = token.and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            client,
            address,
            authorization,
        }
    }

    /// Returns the address of the engine.
    pub(crate) fn address(&self) -> &EngineAddress {
        &self.address
    }

    /// Returns the HTTP client that makes the connections.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a GET request for `path` and reads the answer as JSON. The error is a failure of the
    /// connection, an error status, or a body that is no JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, EngineError> {
        json(self.send(Method::GET, path, None).await?)
    }

    /// Does the same as [`Self::get`] with `query`, pairs of names and values, behind the path.
    pub(crate) async fn get_with(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Value, EngineError> {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        self.get(&format!("{path}?{query}")).await
    }

    /// Returns a client for another address that shares the connections' settings and sends no
    /// token.
    pub(crate) fn elsewhere(&self, address: EngineAddress) -> Self {
        Self {
            client: self.client.clone(),
            address,
            authorization: None,
        }
    }

    /// Sends `body` as JSON to `path` and reads the answer as JSON; its errors are those of
    /// [`Self::get`].
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, EngineError> {
        json(self.send(Method::POST, path, Some(body)).await?)
    }

    /// Returns the status, the `Server` header and the text of a GET request, whatever they are.
    /// The error is a failure of the connection.
    pub(crate) async fn get_text(
        &self,
        path: &str,
    ) -> Result<(u16, Option<String>, String), EngineError> {
        let answer = self.send(Method::GET, path, None).await?;
        let server = answer.headers.get(header::SERVER);
        let server = server.and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Ok((answer.status.as_u16(), server, text))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ControlAnswer, EngineError> {
        let wrong = |error: &dyn std::fmt::Display| EngineError::Unexpected(error.to_string());
        let target = self.address.target(path).map_err(|e| wrong(&e))?;
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.address.host())
            .header(header::ACCEPT, "*/*")
            .header(hop::HEADER, hop::own_mark());
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request.body(Full::new(body)).map_err(|e| wrong(&e))?;
        self.client.call(&self.address, request).await
    }
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

/// The JSON of an answer, or the error that it is.
fn json(answer: ControlAnswer) -> Result<Value, EngineError> {
    let ControlAnswer { status, body, .. } = answer;
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

async fn read_body(body: AnswerBody<Full<Bytes>>) -> Result<Bytes, EngineError> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(EngineError::Unexpected(format!(
            "the answer is longer than {BODY_LIMIT} bytes"
        ))),
        Err(error) => Err(broken(&*error)),
    }
}

/// A connection that broke. The innermost cause says what happened.
fn broken(error: &(dyn std::error::Error + 'static)) -> EngineError {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    EngineError::Unreachable(shorten(&innermost.to_string()))
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

/// Returns the text under `key`; `None` where it is missing, empty or no text.
pub(crate) fn text(value: &Value, key: &str) -> Option<String> {
    name(value, key).map(|s| s.to_string())
}

/// Returns the text under `key` as [`text`] does, as a name that many holders share.
pub(crate) fn name(value: &Value, key: &str) -> Option<Arc<str>> {
    value
        .get(key)
        .and_then(Value::as_str)
        .filter(|s| !s.is_empty())
        .map(Arc::from)
}

/// Returns a member of an engine's JSON as a count, also where it is written as a float or as text.
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

/// Returns a member of an engine's JSON as a count, as [`count`] does, where it fits 32 bits.
pub(crate) fn count32(value: &Value, key: &str) -> Option<u32> {
    count(value, key).and_then(|n| u32::try_from(n).ok())
}

/// Returns the `true` or `false` under `key`; `None` where it is missing or something else.
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
        let address = EngineAddress::new(url.parse().unwrap(), None).unwrap();
        let endpoint = EngineEndpoint::new(client(second), address, None);
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
