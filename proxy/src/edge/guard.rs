//! The guard as a layer: Host, Origin, closed paths, key and rate are judged before a byte of a
//! body is read.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use crucible_config::{LiveConfig, checked::ClientKey};
use crucible_router::{daily_tokens::SpentDay, handle::RouterHandle, refusal::Refusal};
use futures_util::future::{Either, Ready, ready};
use http::Method;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    endpoint::Endpoint,
    error::{Error, ErrorKind},
    guard::{
        self, AdmittedClient, Facts, OwnName,
        paths::{Access, Opened},
    },
    inspector::Inspector,
    ledger::Ledger,
    reply,
    request::ActiveRequest,
    server::{ClientPeer, OverLimit},
};

/// The parts that the judgement over a request needs.
pub(super) struct GuardParts {
    /// The configuration in effect, with hosts, origins, keys and rates.
    pub(super) config: LiveConfig,
    /// The machine's own name, under which clients may address this instance.
    pub(super) own_name: OwnName,
    /// Cancelled once Crucible drains: prompts are refused from then on.
    pub(super) draining: CancellationToken,
    /// The router, whose rate limits of client keys are checked.
    pub(super) router: RouterHandle,
    /// The ledger, where a request that has ended waits until its tokens are charged.
    pub(super) ledger: Arc<Ledger>,
    /// The inspector, which keeps requests that were admitted while it is on.
    pub(super) inspector: Inspector,
}

/// Refuses requests that may not pass.
#[derive(Clone)]
pub(super) struct GuardLayer(Arc<GuardParts>);

/// The service of [`GuardLayer`].
#[derive(Clone)]
pub(super) struct GuardService<S> {
    inner: S,
    parts: Arc<GuardParts>,
}

// === impl GuardLayer ===

impl GuardLayer {
    /// Makes the layer from its parts, which all of its services share.
    pub(super) fn new(parts: GuardParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl<S> tower::Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService {
            inner,
            parts: Arc::clone(&self.0),
        }
    }
}

// === impl GuardService ===

impl<S: Service<Request, Response = Response>> Service<Request> for GuardService<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match judge(&self.parts, &request) {
            Ok((verdict, opened)) => {
                if self.parts.inspector.is_on() && opened.is_none() {
                    inspect(&self.parts.inspector, &request, &verdict);
                }
                request.extensions_mut().insert(verdict);
                if let Some(opened) = opened {
                    request.extensions_mut().insert(opened);
                }
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok(reply::refuse(error)))),
        }
    }
}

/// Begins to keep an admitted request, except those that nobody looks for: Crucible's own pages, lists of models, and
/// counts of tokens, of which editors ask for fifty in a second.
fn inspect(inspector: &Inspector, request: &Request, verdict: &AdmittedClient) {
    let Some(active) = request.extensions().get::<Arc<ActiveRequest>>() else {
        return;
    };
    let path = request.uri().path();
    let is_looked_for = match active.endpoint {
        Endpoint::Admin | Endpoint::Models => false,
        Endpoint::Native | Endpoint::Other => uses_tokens(request.method(), path),
        Endpoint::Chat
        | Endpoint::Completions
        | Endpoint::Embeddings
        | Endpoint::Rerank
        | Endpoint::Responses
        | Endpoint::Messages => !is_unrated(path),
    };
    if is_looked_for {
        let head = (request.method(), request.uri(), request.headers());
        let client = verdict.client.to_string();
        inspector.begin(&active.inspected, &active.id, client, head);
    }
}

/// Whether this path is answered on connections over the limit too.
fn watches(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// Whether requests of this path do not count against a key's rate: no model answers them, and editors
/// send fifty in a second.
fn is_unrated(path: &str) -> bool {
    path == "/v1/messages/count_tokens"
}

/// Whether a request of this method and path can use tokens: only models do, and they are asked by POST.
fn uses_tokens(method: &Method, path: &str) -> bool {
    let asks_about = is_unrated(path) || path == "/api/show" || path.starts_with("/crucible/");
    *method == Method::POST && !asks_about
}

/// Judges the rate of a key, and then its tokens of the day.
fn judge_limits(
    GuardParts { router, ledger, .. }: &GuardParts,
    key: &ClientKey,
    method: &Method,
    path: &str,
) -> Result<(), Error> {
    if !is_unrated(path)
        && let Err(wait) = router.limits().check(key)
    {
        let seconds = wait.as_secs() + 1;
        let message = format!(
            "key '{}' is over its `rate`; come back in {seconds} s",
            key.name
        );
        return Err(Error::new(ErrorKind::RateLimited, message).retry_after(seconds));
    }
    if key.tokens_per_day.is_some() && uses_tokens(method, path) {
        // A client that asks again at once has used what its last request took.
        ledger.settle();
        let checked = router.daily_tokens().check(key, Timestamp::now());
        checked.map_err(|spent| day_is_spent(key, &spent))?;
    }
    Ok(())
}

/// The refusal of a key that has used its tokens of the day.
fn day_is_spent(key: &ClientKey, spent: &SpentDay) -> Error {
    let message = format!(
        "key '{}' has used {} tokens today and may use {} in a day (`tokens_per_day`); this ends at {}",
        key.name, spent.used, spent.limit, spent.ends
    );
    Error::new(ErrorKind::RateLimited, message).retry_not_before(spent.wait.as_secs() + 1)
}

/// Judges Host, Origin and key, then closed management paths, then the key's rate and its tokens of the day. Gives the
/// client, and the management path where it is opened.
fn judge(parts: &GuardParts, request: &Request) -> Result<(AdmittedClient, Option<Opened>), Error> {
    let config = parts.config.current();
    let path = request.uri().path();
    let facts = Facts {
        method: request.method(),
        version: request.version(),
        uri: request.uri(),
        headers: request.headers(),
        peer: request
            .extensions()
            .get::<ClientPeer>()
            .map(ClientPeer::host),
    };
    if request.extensions().get::<OverLimit>().is_some() && !watches(path) {
        return Err(Error::new(
            ErrorKind::TooManyConnections,
            "all places of limits.connections are busy; try again, or raise it",
        )
        .retry_after(1));
    }
    let verdict = guard::judge(&config, &parts.own_name, facts)?;
    if let Some(active) = request.extensions().get::<Arc<ActiveRequest>>() {
        // Here for the whole way of the request, so that a refusal below names its client too.
        active.note(|record| {
            record.key = verdict.key.as_ref().map(|key| Arc::clone(&key.name));
            record.client = verdict.client.clone();
            record.program.clone_from(&verdict.program);
        });
    }
    if !watches(path) {
        guard::hops::of(request.headers())?;
    }
    if parts.draining.is_cancelled() && path.starts_with("/v1/") {
        return Err(Refusal::Draining.into());
    }
    let method = request.method().as_str();
    let opened = match guard::paths::access(method, path, &config.guard_open) {
        Access::Free => None,
        Access::Opened(opened) => Some(opened),
        Access::Closed(guard::paths::PULL) if path == guard::paths::PULL => None,
        Access::Closed(path) => return Err(guard::paths::closed(path)),
    };
    if let Some(key) = &verdict.key {
        judge_limits(parts, key, request.method(), path)?;
    }
    Ok((verdict, opened))
}
