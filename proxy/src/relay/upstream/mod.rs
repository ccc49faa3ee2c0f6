//! Connections to engines for prompts and their answers.

mod address;
mod answer;
mod connection;

use std::{
    error::Error as StdError,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use crucible_router::hop;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use url::Url;

pub use answer::Answer;

use self::{
    address::{Address, Addresses},
    connection::{Broken, Connection},
};
use crate::{
    error::{Error, Kind, UpstreamError},
    guard::hops::X_CRUCIBLE_HOPS,
};

/// An HTTP/1.1 client that keeps connections, follows nothing and asks no proxy; cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    connector: HttpConnector,
    addresses: Addresses,
}

/// A JSON body for an engine.
pub(crate) struct Prompt {
    /// The engine's URL, without a path.
    pub(crate) base: Url,
    /// Path on the engine.
    pub(crate) path: &'static str,
    /// The engine's own token.
    pub(crate) token: Option<Arc<str>>,
    /// The Crucibles that the request came through.
    pub(crate) hops: Arc<[Arc<str>]>,
    /// JSON.
    pub(crate) body: Bytes,
}

/// The head of an answer, and the connection that its body comes on.
type Exchanged = (Response<()>, Box<Connection>);

/// Bytes of an answer that the system takes before they are read (Linux takes twice as many): without a
/// bound it takes up to 6 MB of each stream whose client does not read.
const READ_AHEAD: usize = 128 * 1024;

/// A kept connection that breaks later than this after the request was written broke with it: the
/// engine may have read the request and be at work on it.
const STALE: Duration = Duration::from_millis(50);

/// The engine had closed by the time that the request came.
fn is_stale(broken: &Broken) -> bool {
    let closed = matches!(
        broken.error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    );
    broken.silent && closed && broken.after < STALE
}

fn unanswered(broken: &Broken) -> Error {
    let error = &broken.error;
    tracing::debug!(%error, "request to engine");
    if error.kind() == io::ErrorKind::InvalidData {
        return Error::new(
            Kind::EngineError,
            format!("what the engine answered is not HTTP/1.1: {error}"),
        )
        .upstream(UpstreamError::BadHttp);
    }
    Error::new(
        Kind::EngineUnreachable,
        "the connection to the engine broke before it answered",
    )
    .upstream(UpstreamError::Reset)
}

// === impl Prompt ===

impl Prompt {
    fn on(
        &self,
        connection: &mut Connection,
        address: &Address,
    ) -> impl Future<Output = Result<Response<()>, Broken>> + Send {
        connection.request(self.request(address), self.body.clone())
    }

    /// Of a client's headers, none goes to an engine: a request is built anew.
    fn request(&self, address: &Address) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(self.path);
        let headers = request.headers_mut();
        headers.insert(header::HOST, address.host.clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        let hops = if self.hops.is_empty() {
            HeaderValue::try_from(hop::own())
        } else {
            HeaderValue::try_from(hop::onward(&self.hops))
        };
        if let Ok(hops) = hops {
            headers.insert(&X_CRUCIBLE_HOPS, hops);
        }
        if let Some(token) = &self.token
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}"))
        {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        request
    }
}

// === impl Upstream ===

impl Upstream {
    /// `connect`: longest wait for a TCP connection.
    pub fn new(connect: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect));
        connector.set_recv_buffer_size(Some(READ_AHEAD));
        Self {
            connector,
            addresses: Addresses::default(),
        }
    }

    /// Sends a prompt and waits for the answer's headers.
    ///
    /// Errors: `engine_unreachable` where there is no connection or it broke before an answer,
    /// `engine_error` for an answer that no engine should give (a redirect, an upgrade, no HTTP).
    pub(crate) async fn send(&self, prompt: &Prompt) -> Result<Response<Answer>, Error> {
        let address = self.addresses.of(&prompt.base)?;
        let (response, connection) = match address.take() {
            Some(kept) => self.on_kept(kept, &address, prompt).await?,
            None => self.on_new(&address, prompt).await?,
        };
        let status = response.status();
        if status.is_redirection() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::new(
                Kind::EngineError,
                format!("the engine answered {status}, which is not followed"),
            )
            .upstream(UpstreamError::BadHttp));
        }
        Ok(response.map(|()| Answer::new(connection, address)))
    }

    /// On a connection of an earlier request, or once more on a new one if the engine closed that in
    /// the very moment: cpp-httplib (llama.cpp b10549) ends kept connections without saying so before.
    async fn on_kept(
        &self,
        mut connection: Box<Connection>,
        address: &Address,
        prompt: &Prompt,
    ) -> Result<Exchanged, Error> {
        match prompt.on(&mut connection, address).await {
            Ok(response) => Ok((response, connection)),
            Err(broken) if is_stale(&broken) => {
                tracing::debug!(error = %broken.error, "kept connection to an engine");
                self.on_new(address, prompt).await
            }
            Err(broken) => Err(unanswered(&broken)),
        }
    }

    async fn on_new(&self, address: &Address, prompt: &Prompt) -> Result<Exchanged, Error> {
        let mut connection = self.connect(&address.target).await?;
        match prompt.on(&mut connection, address).await {
            Ok(response) => Ok((response, connection)),
            Err(broken) => Err(unanswered(&broken)),
        }
    }

    async fn connect(&self, at: &Uri) -> Result<Box<Connection>, Error> {
        // Always ready: it has no bound, and resolves in threads.
        let io = self.connector.clone().call(at.clone()).await;
        let io = io.map_err(|error| {
            tracing::debug!(%error, source = ?StdError::source(&error), "connection to engine");
            Error::new(
                Kind::EngineUnreachable,
                "the engine refused the connection or did not take it in time; `crucible doctor` tells \
                 what is down",
            )
            .upstream(UpstreamError::Connect)
        })?;
        Ok(Box::new(Connection::new(io.into_inner())))
    }

    /// Closes connections that nobody uses, until `stop`.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(sleep(address::SWEEP))
            .await
            .is_some()
        {
            self.addresses.sweep(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
