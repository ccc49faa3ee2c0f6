//! The stack: everything that happens to a request, in order, in one function.

mod account;
mod catch_panic;
mod cors;
mod gate;
mod management;
pub(crate) mod request_id;

use std::{convert::Infallible, sync::Arc};

use axum::{Router as Routes, body::Body, extract::Request, response::Response, routing::post};
use http::{Method, Uri};
use tower::{Service, ServiceBuilder};
use tower_http::{
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
};

use crate::{
    admin,
    edge::{
        catch_panic::CatchPanics,
        cors::{Browser, Part},
        gate::Gate,
        management::Management,
    },
    guard,
    pipeline::chat,
    reply,
    server::{OnRefuse, Received},
    state::AppState,
};

/// The outer stack around the paths of the main listener, from the accepted connection to the
/// path table.
///
/// The inner one, from a routed request to the engine's bytes, is [`crate::pipeline::stack`].
pub(crate) fn edge(app: &AppState) -> impl Edge {
    stack(app, paths())
}

/// The same stack around the paths of `metrics_listen`.
pub(crate) fn metrics_edge(app: &AppState) -> impl Edge {
    stack(app, admin::metrics_paths())
}

fn stack(app: &AppState, paths: Routes<AppState>) -> impl Edge {
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
                .fallback(admin::endpoints::unknown_path)
                .method_not_allowed_fallback(admin::endpoints::wrong_method)
                .with_state(app.clone()),
        )
}

/// How what is no request is put on the books: like every refusal.
pub(crate) fn on_refuse(app: &AppState) -> OnRefuse {
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
fn paths() -> Routes<AppState> {
    Routes::new()
        .route("/v1/chat/completions", post(chat::completions))
        .merge(admin::paths())
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        // Only allowed origins come this far.
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods([Method::GET, Method::POST])
        // SDKs send many of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(reply::EXPOSED)
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
