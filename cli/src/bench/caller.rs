//! Requests to the engine that is measured.

use std::time::Duration;

use bytes::Bytes;
use crucible_router::transport::{AnswerBody, Connector, EngineAddress, exchange};
use futures_util::{Stream, TryStreamExt as _, future::ready};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, BodyStream, Collected, Full};
use serde_json::Value;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Sends JSON to an engine and gives its answers as they come; each on a connection of its own.
#[derive(Clone)]
pub(super) struct EngineCaller {
    connector: Connector,
    address: EngineAddress,
    token: Option<String>,
}

/// The beginning of an answer.
pub(super) struct CallerAnswer {
    pub(super) status: StatusCode,
    body: AnswerBody<Full<Bytes>>,
}

// === impl EngineCaller ===

impl EngineCaller {
    pub(super) fn new(address: EngineAddress, token: Option<String>) -> Self {
        Self {
            connector: Connector::new(CONNECT),
            address,
            token,
        }
    }

    pub(super) async fn get(&self, path: &'static str) -> Result<CallerAnswer, String> {
        self.call(Method::GET, path, Bytes::new()).await
    }

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
            .uri(target.map_err(|e| self.says(path, &e))?)
            .header(header::HOST, self.address.host())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|e| self.says(path, &e))?;
        let transport = self.connector.connect(&self.address).await;
        let transport = transport.map_err(|e| self.says(path, &e))?;
        let answer = exchange(transport, request).await;
        let answer = answer.map_err(|e| self.says(path, &e.error))?;
        Ok(CallerAnswer {
            status: answer.status(),
            body: answer.into_body(),
        })
    }

    /// What went wrong, with the address that was asked.
    pub(super) fn says(&self, path: &str, what: &dyn std::fmt::Display) -> String {
        let base = self.address.url().as_str().trim_end_matches('/');
        format!("{base}{path}: {what}")
    }
}

// === impl CallerAnswer ===

impl CallerAnswer {
    /// The whole body; what came of it where it broke off.
    pub(super) async fn text(self) -> String {
        let whole = self.body.collect().await.map(Collected::to_bytes);
        String::from_utf8_lossy(&whole.unwrap_or_default()).into_owned()
    }

    /// The body as it comes.
    pub(super) fn pieces(self) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin {
        BodyStream::new(self.body)
            .try_filter_map(|frame| ready(Ok(frame.into_data().ok())))
            .map_err(std::io::Error::other)
    }
}
