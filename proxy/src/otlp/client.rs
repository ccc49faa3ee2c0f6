//! The HTTP client of the exporter: one connection for each batch, over the router's transport, which asks
//! no proxy and follows nothing.

use std::time::Duration;

use async_trait::async_trait;
use crucible_router::transport::{Connector, EngineAddress, exchange};
use http::header;
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// The time that a collector has to take a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// The most bytes that are read of a collector's answer.
const ANSWER: usize = 64 * 1024;

/// Sends batches to one collector.
#[derive(Debug)]
pub(super) struct CollectorClient {
    connector: Connector,
    address: EngineAddress,
}

// === impl CollectorClient ===

impl CollectorClient {
    /// Makes the client of a collector at this address.
    pub(super) fn new(address: EngineAddress) -> Self {
        Self {
            connector: Connector::new(CONNECT),
            address,
        }
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = self.address.target(path)?;
        head.headers
            .insert(header::HOST, self.address.host().clone());
        head.headers
            .insert(header::CONTENT_LENGTH, body.len().into());
        let transport = self.connector.connect(&self.address).await;
        let transport = transport.map_err(|error| error.to_string())?;
        let sent = exchange(transport, Request::from_parts(head, Full::new(body))).await;
        let (head, body) = sent.map_err(|broken| broken.error)?.into_parts();
        let answer = Limited::new(body, ANSWER).collect().await;
        let answer = match answer {
            Ok(answer) => answer.to_bytes(),
            // The status says that the batch was taken; what else is said of it is lost with the body.
            Err(_) if head.status.is_success() => Bytes::new(),
            Err(broken) => return Err(broken),
        };
        Ok(Response::from_parts(head, answer))
    }
}
