//! Connections to engines for prompts and their answers.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, uri::Scheme};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    error::{Error, Kind},
    metrics::UpstreamError,
};

/// An unused connection is closed before an engine closes it (Node's default is 5 s).
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Most that is read from an engine before its stream takes it: what a client that reads slowly
/// costs in memory. hyper's own bound is 400 KiB. The head of an answer must fit as well.
const READ_BUFFER: usize = 16 * 1024;

/// A pooling HTTP/1.1 client that follows nothing and asks no proxy; cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream(Client<HttpConnector, Full<Bytes>>);

// === impl Upstream ===

impl Upstream {
    /// `connect`: longest wait for a TCP connection.
    pub fn new(connect: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect));
        Self(
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .http1_max_buf_size(READ_BUFFER)
                .build(connector),
        )
    }

    /// Sends a request and waits for the answer's headers.
    ///
    /// Errors: `engine_unreachable` where there is no connection or it broke before an answer,
    /// `engine_error` for an answer that no engine should give (a redirect, an upgrade).
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        if request.uri().scheme() == Some(&Scheme::HTTPS) {
            return Err(Error::new(
                Kind::EngineUnreachable,
                "the engine's url is https, and Crucible speaks plain HTTP to engines",
            ));
        }
        let response = self.0.request(request).await.map_err(|error| {
            tracing::debug!(%error, source = ?error.source(), "request to engine");
            let (what, failure) = if error.is_connect() {
                (
                    "the engine refused the connection or did not take it in time",
                    UpstreamError::Connect,
                )
            } else {
                (
                    "the connection to the engine broke before it answered",
                    UpstreamError::Reset,
                )
            };
            Error::new(Kind::EngineUnreachable, what).upstream(failure)
        })?;
        let status = response.status();
        if status.is_redirection() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::new(
                Kind::EngineError,
                format!("the engine answered {status}, which is not followed"),
            )
            .upstream(UpstreamError::BadHttp));
        }
        Ok(response)
    }
}
