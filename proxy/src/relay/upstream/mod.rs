//! Connections to engines for prompts and their answers.

mod answer;
mod connection;
mod idle;

use std::{
    error::Error as StdError,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, Uri,
    uri::{PathAndQuery, Scheme},
};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

pub use answer::Answer;

use self::{connection::Connection, idle::Idle};
use crate::{
    error::{Error, Kind},
    metrics::UpstreamError,
};

/// An HTTP/1.1 client that keeps connections, follows nothing and asks no proxy; cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    connector: HttpConnector,
    idle: Idle,
}

/// The head of an answer, and the connection that its body comes on.
type Exchanged = (Response<Incoming>, Box<Connection>);

/// A kept connection that breaks later than this broke with the request, not before it.
const STALE: Duration = Duration::from_secs(1);

/// Ended before the first byte of an answer.
fn is_stale(error: &hyper::Error) -> bool {
    let reset = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        });
    error.is_canceled() || error.is_incomplete_message() || reset
}

fn broken(error: &dyn StdError) -> Error {
    tracing::debug!(%error, source = ?error.source(), "request to engine");
    Error::new(
        Kind::EngineUnreachable,
        "the connection to the engine broke before it answered",
    )
    .upstream(UpstreamError::Reset)
}

// === impl Upstream ===

impl Upstream {
    /// `connect`: longest wait for a TCP connection.
    pub fn new(connect: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect));
        Self {
            connector,
            idle: Idle::default(),
        }
    }

    /// Sends a request and waits for the answer's headers.
    ///
    /// Errors: `engine_unreachable` where there is no connection or it broke before an answer,
    /// `engine_error` for an answer that no engine should give (a redirect, an upgrade).
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Answer>, Error> {
        if request.uri().scheme() == Some(&Scheme::HTTPS) {
            return Err(Error::new(
                Kind::EngineUnreachable,
                "the engine's url is https, and Crucible speaks plain HTTP to engines",
            ));
        }
        let at = request.uri().clone();
        let Some(address) = at.authority().cloned() else {
            return Err(Error::new(Kind::Internal, "an engine without an address"));
        };
        let path = at.path_and_query().cloned();
        *request.uri_mut() = path
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
            .into();
        let (response, connection) = match self.idle.take(&address) {
            Some(kept) => self.on_kept(kept, &at, request).await?,
            None => self.on_new(&at, request).await?,
        };
        let status = response.status();
        if status.is_redirection() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::new(
                Kind::EngineError,
                format!("the engine answered {status}, which is not followed"),
            )
            .upstream(UpstreamError::BadHttp));
        }
        Ok(response.map(|body| Answer::new(body, connection, self.idle.lease(address))))
    }

    /// On a connection of an earlier request, or on a new one if the engine closed that in the very
    /// moment: cpp-httplib (llama.cpp b10549) ends kept connections without saying so before.
    async fn on_kept(
        &self,
        mut connection: Box<Connection>,
        at: &Uri,
        request: Request<Full<Bytes>>,
    ) -> Result<Exchanged, Error> {
        let again = request.clone();
        let sent = Instant::now();
        match connection.request(request).await {
            Ok(response) => Ok((response, connection)),
            Err(error) if is_stale(error.error()) && sent.elapsed() < STALE => {
                tracing::debug!(error = %error.error(), "kept connection to an engine");
                self.on_new(at, again).await
            }
            Err(error) => Err(broken(error.error())),
        }
    }

    async fn on_new(&self, at: &Uri, request: Request<Full<Bytes>>) -> Result<Exchanged, Error> {
        let mut connection = self.connect(at).await?;
        match connection.request(request).await {
            Ok(response) => Ok((response, connection)),
            Err(error) => Err(broken(error.error())),
        }
    }

    async fn connect(&self, at: &Uri) -> Result<Box<Connection>, Error> {
        // Always ready: it has no bound, and resolves in threads.
        let io = self.connector.clone().call(at.clone()).await;
        let io = io.map_err(|error| {
            tracing::debug!(%error, source = ?error.source(), "connection to engine");
            Error::new(
                Kind::EngineUnreachable,
                "the engine refused the connection or did not take it in time",
            )
            .upstream(UpstreamError::Connect)
        })?;
        let connection = Connection::open(io).await;
        connection.map(Box::new).map_err(|error| broken(&error))
    }

    /// Closes connections that nobody uses, until `stop`.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(idle::SWEEP)).await.is_some() {
            self.idle.sweep(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
