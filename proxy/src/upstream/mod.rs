//! Connections to engines for prompts and their answers, and what is sent on them.
//!
//! Connections and HTTP on them are the router's [`transport`](crucible_router::transport). Three things
//! are decided here: which connections are used again (`pool`), when a request is sent a second time
//! (see `Upstream::send`), and what a broken connection means to the client.

mod answer;
mod pool;
mod retry_budget;

use std::{
    error::Error as StdError,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use crucible_router::{
    hop,
    transport::{
        AnswerBody, Broken, ConnectError, Connector, EngineAddress, exchange, exchange_again,
    },
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::Full;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use answer::EngineAnswer;

/// The body of an answer to a request that was passed on with a body of its own.
pub(crate) type PassedBody = AnswerBody<Full<Bytes>>;

use self::pool::{IdlePool, IdlePools};
use crate::{
    error::{Error, ErrorKind, UpstreamError},
    guard::hops::X_CRUCIBLE_HOPS,
    metrics::{Metrics, RetryOutcome, RetryReason},
    telemetry::trace_context::TraceHeaders,
};

/// An HTTP/1.1 client that keeps connections, follows nothing and asks no proxy; cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    connector: Connector,
    idle: IdlePools,
    metrics: Metrics,
    /// [`STALE`], where a test does not measure with another one.
    stale: Duration,
}

/// A request with a JSON body for an engine.
pub(crate) struct Prompt {
    /// The name of the engine.
    pub(crate) engine: Arc<str>,
    /// The address of the engine.
    pub(crate) address: EngineAddress,
    /// The path on the engine.
    pub(crate) path: &'static str,
    /// The engine's own access token, where it has one.
    pub(crate) token: Option<Arc<str>>,
    /// The ids of the Crucible instances that the request came through.
    pub(crate) hops: Arc<[Arc<str>]>,
    /// The trace that the request belongs to, where it belongs to one.
    pub(crate) trace: Option<TraceHeaders>,
    /// The JSON body.
    pub(crate) body: Bytes,
}

/// The most headers of a prompt, so that their map is allocated once.
const HEADERS: usize = 7;

/// An idle connection that breaks later than this after the request was written broke with it: the
/// engine may have read the request and be at work on it.
const STALE: Duration = Duration::from_millis(50);

/// The engine had closed by the time that the request came, since it broke within `stale`.
fn is_stale(broken: &Broken, stale: Duration) -> bool {
    let closed = matches!(
        broken.error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    );
    broken.silent && closed && broken.after < stale
}

/// Returns the error of a connection that broke before the head of an answer. An error of the
/// request's own body is returned as it is.
fn unanswered(broken: &Broken) -> Error {
    let error = &broken.error;
    if let Some(own) = of_body(error) {
        return own;
    }
    tracing::debug!(%error, "request to engine");
    if error.kind() == io::ErrorKind::InvalidData {
        return Error::new(
            ErrorKind::EngineError,
            format!("what the engine answered is not HTTP/1.1: {error}"),
        )
        .upstream(UpstreamError::BadHttp);
    }
    Error::new(
        ErrorKind::EngineUnreachable,
        "the connection to the engine broke before it answered",
    )
    .upstream(UpstreamError::Reset)
}

/// The error of the request's body, where that ended the exchange.
fn of_body(error: &io::Error) -> Option<Error> {
    let mut cause = error.get_ref().map(|e| e as &(dyn StdError + 'static));
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        cause = error.source();
    }
    None
}

/// There is no connection: in words that tell what to do.
fn unconnected(error: &ConnectError) -> Error {
    let message = match error {
        ConnectError::Tls(_) => {
            tracing::warn!("connection to an engine: {error}");
            format!("{error}")
        }
        ConnectError::Refused(why) | ConnectError::Failed(why) => {
            tracing::debug!(error = &**why, "connection to engine");
            "the engine refused the connection or did not take it in time; `crucible doctor` tells \
             what is down"
                .to_owned()
        }
    };
    Error::new(ErrorKind::EngineUnreachable, message).upstream(UpstreamError::Connect)
}

// === impl Prompt ===

impl Prompt {
    /// Builds the request anew: no header of a client goes to an engine.
    fn request(&self) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        let target = self.address.fixed_target(self.path);
        *request.uri_mut() = target.map_err(|error| no_target(&error))?;
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(header::HOST, self.address.host().clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        let hops = if self.hops.is_empty() {
            HeaderValue::from_maybe_shared(Bytes::from_static(hop::own_mark().as_bytes()))
        } else {
            HeaderValue::from_maybe_shared(Bytes::from(hop::onward(&self.hops)))
        };
        if let Ok(hops) = hops {
            headers.insert(&X_CRUCIBLE_HOPS, hops);
        }
        if let Some(trace) = &self.trace {
            trace.add_to(headers);
        }
        if let Some(token) = &self.token
            && let Some(value) = bearer(token)
        {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// The target of a request for this path and query.
fn target(address: &EngineAddress, path: &str) -> Result<Uri, Error> {
    address.target(path).map_err(|error| no_target(&error))
}

fn no_target(error: &http::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("engine address: {error}"))
}

/// The value of `Authorization` for a token, where a header can carry it.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

// === impl Upstream ===

impl Upstream {
    /// `connect`: longest wait for a connection. `metrics` counts new connections, and what is sent twice.
    pub fn new(connect: Duration, metrics: Metrics) -> Self {
        Self {
            connector: Connector::new(connect),
            idle: IdlePools::default(),
            metrics,
            stale: STALE,
        }
    }

    /// Sends a prompt and waits for the answer's headers.
    ///
    /// An idle connection is used where there is one. If the engine had closed that before anything was
    /// written, a new one is made. If it closed in the very moment of the request (it ends within 50 ms of
    /// the write, before any byte of an answer), the request is sent once more on a new connection; nothing
    /// else is sent twice. Of many requests to one address at most a fifth is sent twice, beyond
    /// ten in a row.
    ///
    /// Errors: `engine_unreachable` where there is no connection or it broke before an answer,
    /// `engine_error` for an answer that no engine should give (a redirect, an upgrade, no HTTP).
    pub(crate) async fn send(&self, prompt: &Prompt) -> Result<Response<EngineAnswer>, Error> {
        let pool = self.idle.of(&prompt.address);
        pool.retries.add();
        let response = match pool.take() {
            Some(idle) => match exchange_again(idle, prompt.request()?).await {
                // cpp-httplib (llama.cpp b10549) ends idle connections without saying so before.
                Err(broken) if broken.unsent || is_stale(&broken, self.stale) => {
                    tracing::debug!(error = %broken.error, "idle connection to an engine");
                    Box::pin(self.send_again(&pool, prompt, &broken)).await?
                }
                exchanged => exchanged.map_err(|broken| unanswered(&broken))?,
            },
            // Boxed: most requests find a connection, and each would keep room for making one.
            None => {
                Box::pin(self.on_new(&prompt.engine, &prompt.address, prompt.request()?)).await?
            }
        };
        let status = response.status();
        if status.is_redirection() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::new(
                ErrorKind::EngineError,
                format!("the engine answered {status}, which is not followed"),
            )
            .upstream(UpstreamError::BadHttp));
        }
        Ok(response.map(|body| EngineAnswer::new(body, pool)))
    }

    /// Sends a prompt on a new connection in place of an idle one that broke. Where it was written to that
    /// one, it is sent a second time, if the budget of its address allows it; else the error of the first
    /// time is returned.
    async fn send_again(
        &self,
        pool: &IdlePool,
        prompt: &Prompt,
        broken: &Broken,
    ) -> Result<Response<AnswerBody<Full<Bytes>>>, Error> {
        let on_new = self.on_new(&prompt.engine, &prompt.address, prompt.request()?);
        if broken.unsent {
            return on_new.await;
        }
        let stale = RetryReason::StaleConnection;
        if !pool.retries.take() {
            self.metrics
                .retry(&prompt.engine, stale, RetryOutcome::OverBudget);
            return Err(unanswered(broken));
        }
        let answer = on_new.await;
        let outcome = match &answer {
            Ok(_) => RetryOutcome::Ok,
            Err(_) => RetryOutcome::Error,
        };
        self.metrics.retry(&prompt.engine, stale, outcome);
        answer
    }

    /// The requests to this address that may be sent a second time now.
    pub(crate) fn retries_left(&self, address: &EngineAddress) -> u32 {
        self.idle.retries_left(address)
    }

    /// Sends a request that is no prompt, on a connection of its own. Method, path, query and the headers
    /// for its body are the caller's; `Host` and the token are added.
    ///
    /// Errors: as of [`Self::send`], and what the request's body failed with.
    pub(crate) async fn pass<B>(
        &self,
        engine: &str,
        address: &EngineAddress,
        token: Option<&str>,
        mut request: Request<B>,
    ) -> Result<Response<AnswerBody<B>>, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let path = request.uri().path_and_query();
        *request.uri_mut() = target(address, path.map_or("/", |path| path.as_str()))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, address.host().clone());
        if let Some(value) = token.and_then(bearer) {
            headers.insert(header::AUTHORIZATION, value);
        }
        self.on_new(engine, address, request).await
    }

    async fn on_new<B>(
        &self,
        engine: &str,
        address: &EngineAddress,
        request: Request<B>,
    ) -> Result<Response<AnswerBody<B>>, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let began = Instant::now();
        let transport = self.connector.connect(address).await;
        let transport = transport.map_err(|error| unconnected(&error))?;
        self.metrics.connected(engine, began.elapsed());
        let exchanged = exchange(transport, request).await;
        exchanged.map_err(|broken| unanswered(&broken))
    }

    /// Closes connections that nobody uses, until `stop`.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(pool::SWEEP)).await.is_some() {
            self.idle.sweep(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
