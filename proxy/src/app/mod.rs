//! The stack: everything that happens to a request, in order, in one function.

mod account;
mod books;
mod browser;
mod chat;
mod closing;
pub(crate) mod context_length;
pub(crate) mod endpoints;
pub(crate) mod exchange;
mod gate;
mod growth;
mod management;
mod models;
mod overflow;
mod panics;
pub(crate) mod request_id;
pub(crate) mod respond;
mod sample;
pub(crate) mod vanished;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router as Routes,
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use crucible_config::Live;
use crucible_router::{router::Router, verify::evidence::Probes};
use http::{Method, Uri};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};
use tower_http::{
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
};

use self::{
    books::Books,
    browser::{Browser, Part},
    exchange::InFlight,
    gate::Gate,
    management::Management,
    panics::CatchPanics,
};
use crate::{
    admin,
    error::Error,
    events::Events,
    guard::{self, OwnName},
    metrics::Metrics,
    relay::{prefill::Prefills, upstream::Upstream},
    routed::answerer::Spellings,
    server::{OnRefuse, Received},
};

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The parts of [`App`].
pub struct Shared {
    /// The configuration in effect.
    pub config: Live,
    /// Who runs where.
    pub router: Router,
    /// Counters.
    pub metrics: Metrics,
    /// Connections to engines.
    pub upstream: Upstream,
    /// Set at the first SIGTERM: not ready, nothing new.
    pub draining: CancellationToken,
    /// Set when the drain is over: streams end with an error.
    pub ending: CancellationToken,
    pub(crate) own_name: OwnName,
    pub(crate) in_flight: Arc<InFlight>,
    books: Books,
    pub(crate) prefills: Prefills,
    /// How engines spell what answers, where they list no such name.
    pub(crate) spellings: Spellings,
    pub(crate) events: Events,
    /// What `doctor --probe` found, as it was read last.
    pub(crate) probes: RwLock<Arc<Probes>>,
}

// === impl App ===

impl App {
    /// Puts the parts together.
    pub(crate) fn new(
        config: Live,
        router: Router,
        metrics: Metrics,
        upstream: Upstream,
        draining: CancellationToken,
        ending: CancellationToken,
        events: Events,
    ) -> Self {
        Self(Arc::new(Shared {
            config,
            router,
            metrics,
            upstream,
            draining,
            ending,
            own_name: OwnName::read(),
            in_flight: Arc::default(),
            books: Books::default(),
            prefills: Prefills::default(),
            spellings: Spellings::default(),
            events,
            probes: RwLock::default(),
        }))
    }
}

impl App {
    /// Brings the gauges up to this moment.
    pub(crate) fn observe(&self) {
        self.metrics.update_view(&self.router.fresh_view());
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The outer stack around the paths of the main listener, from the accepted connection to the
/// path table.
///
/// The inner one, from a routed request to the engine's bytes, is [`crate::routed::stack`].
pub(crate) fn edge(app: &App) -> impl Edge {
    stack(app, paths())
}

/// The same stack around the paths of `metrics_listen`.
pub(crate) fn metrics_edge(app: &App) -> impl Edge {
    stack(app, admin::metrics_paths())
}

fn stack(app: &App, paths: Routes<App>) -> impl Edge {
    let cors = Arc::new(cors());
    ServiceBuilder::new()
        .map_request(|request: http::Request<Received>| request.map(Body::new))
        // First, so that every answer carries an id, also those of the layers below.
        .map_request(request_id::drop_insane)
        .layer(SetRequestIdLayer::new(
            request_id::X_REQUEST_ID.clone(),
            request_id::NewId,
        ))
        .layer(PropagateRequestIdLayer::new(
            request_id::X_REQUEST_ID.clone(),
        ))
        // Forgiving spellings become the one that the layers below know.
        .map_request(canonical)
        // Opens an account of what the layers below answer; the books close it.
        .layer(account::Layer::new(app.clone()))
        // An allowed page reads refusals too.
        .layer(Browser::new(app.clone(), Arc::clone(&cors), Part::Answers))
        // A panic costs one request, and the accounting above still sees a 500.
        .layer(CatchPanics)
        // Host, Origin, key and rate, before a byte of the body is read.
        .layer(Gate::new(app.clone()))
        // What is opened on purpose goes to its engine as it is.
        .layer(Management::new(app.clone()))
        // After the Origin was judged: preflights of allowed origins are answered here.
        .layer(Browser::new(app.clone(), cors, Part::Preflights))
        .service(
            paths
                .fallback(respond::unknown_path)
                .method_not_allowed_fallback(respond::wrong_method)
                .with_state(app.clone()),
        )
}

/// How what is no request is put on the books: like every refusal.
pub(crate) fn on_refuse(app: &App) -> OnRefuse {
    let app = app.clone();
    Arc::new(move |error| account::of_refusal(&app, error))
}

/// What a listener serves.
pub(crate) trait Edge:
    Service<http::Request<Received>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Edge for S where
    S: Service<http::Request<Received>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// The path table.
fn paths() -> Routes<App> {
    Routes::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .merge(admin::paths())
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        // Only allowed origins come this far.
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods([Method::GET, Method::POST])
        // SDKs send many of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(respond::EXPOSED)
}

fn canonical(mut request: Request) -> Request {
    use std::borrow::Cow;

    let uri = request.uri();
    let rewritten = match guard::paths::canonical(uri.path()) {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        }),
    };
    // A path that cannot be a URI again stays as it is and finds no route.
    let rewritten = rewritten.and_then(|target| target.parse().ok());
    if let Some(target) = rewritten {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        if request.method() == Method::CONNECT {
            // It names a host and no path; nothing is connected.
            parts.authority = None;
        }
        // Whom an absolute target names is still to be judged.
        let alone = parts.scheme.is_none() && parts.authority.is_some();
        if !alone {
            parts.path_and_query = Some(target);
        }
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Turns an error into the answer of a handler.
pub(crate) fn or_refuse(result: Result<Response, Error>) -> Response {
    result.unwrap_or_else(|error| respond::refuse(error).into_response())
}
