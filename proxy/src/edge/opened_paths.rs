//! Management paths that `guard.open` opens: requests and answers are passed on as they come, to
//! the engine that has the path.
//!
//! Where several engines of the kind are up, the first of the configuration is meant, or the one
//! that the client names in `x-crucible-engine`.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use crucible_config::LiveConfig;
use crucible_router::{engine::token_of, handle::RouterHandle, view::EngineView};
use futures_util::future::Either;
use http::{HeaderName, HeaderValue, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::Service;

use crate::{
    body::decode,
    error::{Error, ErrorKind},
    guard::paths::Opened,
    reply::{X_ENGINE, or_refuse, printable, unbuffered},
    request::ActiveRequest,
    upstream::Upstream,
};

/// The headers of a client's request that an engine may read.
const PASSED_ON: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::ACCEPT];

/// The headers of the engine's answer that a client may read.
const PASSED_BACK: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
];

/// Passes opened management paths on to their engine.
#[derive(Clone)]
pub(super) struct OpenedPathsLayer(Arc<ForwardParts>);

/// The parts that passing a request on needs.
struct ForwardParts {
    config: LiveConfig,
    router: RouterHandle,
    upstream: Upstream,
}

/// The service of [`OpenedPathsLayer`].
#[derive(Clone)]
pub(super) struct OpenedPathsService<S> {
    inner: S,
    parts: Arc<ForwardParts>,
}

type Forwarded = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Asks the engine for its lists when it is dropped at the end of an answer, so that a model that
/// was pulled, deleted or loaded shows at once.
struct Changed {
    router: RouterHandle,
    engine: Arc<str>,
}

// === impl Changed ===

impl Drop for Changed {
    fn drop(&mut self) {
        self.router.poke(&self.engine);
    }
}

// === impl OpenedPathsLayer ===

impl OpenedPathsLayer {
    /// Makes the layer that forwards requests for opened management paths to an engine over
    /// `upstream`.
    pub(super) fn new(config: LiveConfig, router: RouterHandle, upstream: Upstream) -> Self {
        Self(Arc::new(ForwardParts {
            config,
            router,
            upstream,
        }))
    }
}

impl<S> tower::Layer<S> for OpenedPathsLayer {
    type Service = OpenedPathsService<S>;

    fn layer(&self, inner: S) -> OpenedPathsService<S> {
        OpenedPathsService {
            inner,
            parts: Arc::clone(&self.0),
        }
    }
}

// === impl OpenedPathsService ===

impl<S: Service<Request, Response = Response, Error = Infallible>> Service<Request>
    for OpenedPathsService<S>
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Forwarded>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match request.extensions_mut().remove::<Opened>() {
            None => Either::Left(self.inner.call(request)),
            Some(opened) => {
                let parts = Arc::clone(&self.parts);
                Either::Right(Box::pin(async move {
                    Ok(or_refuse(forward(&parts, &opened, request).await))
                }))
            }
        }
    }
}

async fn forward(
    parts: &ForwardParts,
    opened: &Opened,
    request: Request,
) -> Result<Response, Error> {
    parts.router.settled().await;
    let view = parts.router.view();
    let engine = choose(&view.engines, opened, &request)?;
    let address = parts.router.engine_address(&engine.name).ok_or_else(|| {
        Error::new(
            ErrorKind::NoEngine,
            format!("'{}' has no address", engine.name),
        )
    })?;
    let token = parts
        .router
        .engine_config(&engine.name)
        .and_then(|config| token_of(&config));
    let sent = passed_request(parts, opened, request)?;
    let upstream = &parts.upstream;
    let passed = upstream.pass(&engine.name, &address, token.as_deref(), sent);
    let (answer, body) = passed.await?.into_parts();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status;
    for name in &PASSED_BACK {
        if let Some(value) = answer.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    if !response.headers().contains_key(header::CONTENT_LENGTH) {
        // The progress of a download, for example.
        unbuffered(response.headers_mut());
    }
    if let Ok(name) = HeaderValue::from_str(&engine.name) {
        response.headers_mut().insert(X_ENGINE, name);
    }
    let changed = Changed {
        router: parts.router.clone(),
        engine: engine.name.clone(),
    };
    let body = body.map_frame(move |frame| {
        let _until_the_end = &changed;
        frame
    });
    *response.body_mut() = Body::new(body);
    Ok(response)
}

/// Returns the request for the engine: the client's, with those of its headers that an engine may have.
fn passed_request(
    parts: &ForwardParts,
    opened: &Opened,
    request: Request,
) -> Result<Request, Error> {
    let (head, body) = request.into_parts();
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        Body::from_stream(decode::passing(body, &parts.config.current()))
    };
    let mut sent = Request::new(body);
    *sent.method_mut() = head.method;
    *sent.uri_mut() = passed_target(&opened.path, head.uri.query())?;
    for name in &PASSED_ON {
        if let Some(value) = head.headers.get(name) {
            sent.headers_mut().insert(name, value.clone());
        }
    }
    let active = head.extensions.get::<Arc<ActiveRequest>>();
    if let Some(trace) = active.and_then(|active| active.trace_headers()) {
        trace.add_to(sent.headers_mut());
    }
    Ok(sent)
}

/// Path and query on the engine.
fn passed_target(path: &str, query: Option<&str>) -> Result<Uri, Error> {
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target = Uri::try_from(target);
    target.map_err(|error| Error::new(ErrorKind::BadRequest, format!("{path}: {error}")))
}

/// The engine that a request for an opened path means.
fn choose<'a>(
    engines: &'a [EngineView],
    opened: &Opened,
    request: &Request,
) -> Result<&'a EngineView, Error> {
    let named = request.headers().get(&X_ENGINE);
    let named = named.and_then(|name| name.to_str().ok());
    let of_kind = |e: &&EngineView| {
        e.kind == opened.kind && named.is_none_or(|name| name.eq_ignore_ascii_case(&e.name))
    };
    let mut all = engines.iter().filter(of_kind);
    let first = all.clone().next();
    all.find(|engine| engine.is_up()).or(first).ok_or_else(|| {
        let whom = named.map_or_else(String::new, |name| format!(" named '{}'", printable(name)));
        let kind = opened.kind.as_str();
        let message = format!(
            "{} is a path of {kind} engines, and there is none{whom}; GET /crucible/state lists the \
             engines",
            opened.path
        );
        Error::new(ErrorKind::NoEngine, message).retry_after(60)
    })
}
