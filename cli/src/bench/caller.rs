//! Requests to the engine that a benchmark measures.

use std::time::Duration;

use bytes::Bytes;
use crucible_router::transport::{AnswerBody, Connector, EngineAddress, exchange};
use futures_util::{Stream, TryStreamExt as _, future::ready};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, BodyStream, Collected, Full};
use serde_json::Value;

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that sends JSON to an engine and streams its answers. Each request has a connection of
/// its own.
#[derive(Clone)]
pub(super) struct EngineCaller {
    connector: Connector,
    address: EngineAddress,
    token: Option<String>,
}

/// An answer whose status has arrived and whose body is still to be read.
pub(super) struct CallerAnswer {
    /// The HTTP status of the answer.
    pub(super) status: StatusCode,
    body: AnswerBody<Full<Bytes>>,
}

// === impl EngineCaller ===

impl EngineCaller {
    /// Makes a client for the engine at `address`; `token` is its bearer token, where it needs one.
    pub(super) fn new(address: EngineAddress, token: Option<String>) -> Self {
        Self {
            connector: Connector::new(CONNECT_TIMEOUT),
            address,
            token,
        }
    }

    /// Sends a GET request for `path`. The error is a message that names the address, for a request
    /// that got no answer; an answer with an error status is no error here.
    pub(super) async fn get(&self, path: &'static str) -> Result<CallerAnswer, String> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends `body` as JSON to `path`. The error is a message that names the address, for a request
    /// that got no answer; an answer with an error status is no error here.
    pub(super) async fn post(
        &self,
        path: &'static str,
        body: &Value,
    ) -> Result<CallerAnswer, String> {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    async fn call(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<CallerAnswer, String> {
        let target = self.address.target(path);
        let mut request = Request::builder()
            .method(method)
            .uri(target.map_err(|e| self.message(path, &e))?)
            .header(header::HOST, self.address.host())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|e| self.message(path, &e))?;
        let transport = self.connector.connect(&self.address).await;
        let transport = transport.map_err(|e| self.message(path, &e))?;
        let answer = exchange(transport, request).await;
        let answer = answer.map_err(|e| self.message(path, &e.error))?;
        Ok(CallerAnswer {
            status: answer.status(),
            body: answer.into_body(),
        })
    }

    /// Returns a message that names the address and says what went wrong there.
    pub(super) fn message(&self, path: &str, what: &dyn std::fmt::Display) -> String {
        let base = self.address.url().as_str().trim_end_matches('/');
        format!("{base}{path}: {what}")
    }
}

// === impl CallerAnswer ===

impl CallerAnswer {
    /// Reads the whole body as text; a body that breaks off gives an empty text.
    pub(super) async fn text(self) -> String {
        let whole = self.body.collect().await.map(Collected::to_bytes);
        String::from_utf8_lossy(&whole.unwrap_or_default()).into_owned()
    }

    /// Returns the chunks of the body as they arrive.
    pub(super) fn chunks(self) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin {
        BodyStream::new(self.body)
            .try_filter_map(|frame| ready(Ok(frame.into_data().ok())))
            .map_err(std::io::Error::other)
    }
}
