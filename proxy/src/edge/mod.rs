//! The outer stack: everything that happens to a request before its path decides, in order, in one
//! function.
//!
//! A layer takes the parts that it needs, asks the service inside it whether it is ready, and calls
//! the one that said so; so any of tower's own layers may be put between two of these. At most 100 requests
//! at once behind the guard, for example, are one line of `layers`:
//!
//! ```text
//! .layer(GuardLayer::new(..))
//! .layer(ConcurrencyLimitLayer::new(100))    // until the headers of the answer, as tower counts
//! .layer(OpenedPathsLayer::new(..))
//! ```

mod catch_panic;
mod cors;
mod error_reply;
mod guard;
mod opened_paths;
mod record;
pub(crate) mod request_id;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router as Routes,
    body::Body,
    extract::Request,
    response::Response,
    routing::{any, post},
};
use http::{Method, Uri};
use tower::{Service, ServiceBuilder};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use self::{
    catch_panic::CatchPanicLayer,
    cors::BrowserCorsLayer,
    error_reply::ErrorReplyLayer,
    guard::{GuardLayer, GuardParts},
    opened_paths::OpenedPathsLayer,
    record::RecordLayer,
};
use crate::{
    admin,
    dialect::{self, engine_lists::MEASURED_PATHS},
    guard::base_url,
    pipeline::{answer, count_tokens, measured_answer, passed_path},
    reply,
    server::{ConnectionService, OnRefuse, RequestBody, SocketRefusal},
    state::AppState,
};

/// The outer stack around the paths of the main listener.
///
/// The inner one, from a routed request to the engine's bytes, is `pipeline::stack`.
pub(crate) fn edge(app: &AppState) -> impl ConnectionService {
    stack(app, paths_of(app, paths()))
}

/// The same stack around the paths of `metrics_listen`.
pub(crate) fn metrics_edge(app: &AppState) -> impl ConnectionService {
    stack(app, paths_of(app, admin::metrics_paths()))
}

/// The layers around a path table, for the body of a socket.
fn stack<S>(app: &AppState, paths: S) -> impl ConnectionService
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Unpin
        + 'static,
{
    ServiceBuilder::new()
        .map_request(|request: http::Request<RequestBody>| request.map(Body::new))
        .service(layers(app, paths))
}

/// Everything that happens to a request between the accepted connection and the path table, in order.
fn layers<S>(
    app: &AppState,
    paths: S,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let (preflights, browser_answers) = BrowserCorsLayer::pair(app.config.clone(), cors());
    ServiceBuilder::new()
        // Forgiving spellings become the one that the layers below know.
        .map_request(canonical)
        // Opens the record of the request, with its id and client format; the ledger closes it. Every
        // answer carries the id, also those of the layers below.
        .layer(RecordLayer::new(
            Arc::clone(&app.active),
            Arc::clone(&app.ledger),
            app.router.clone(),
        ))
        // Every error of the layers below is written here, in the client's format.
        .layer(ErrorReplyLayer)
        // An allowed page reads refusals too.
        .layer(browser_answers)
        // A panic costs one request, and the record above still sees a 500.
        .layer(CatchPanicLayer)
        // Host, Origin, key and rate, before a byte of the body is read.
        .layer(GuardLayer::new(GuardParts {
            config: app.config.clone(),
            own_name: app.own_name.clone(),
            draining: app.draining.clone(),
            router: app.router.clone(),
            ledger: Arc::clone(&app.ledger),
            inspector: app.inspector.clone(),
        }))
        // What is opened on purpose goes to its engine as it is.
        .layer(OpenedPathsLayer::new(
            app.config.clone(),
            app.router.clone(),
            app.upstream.clone(),
        ))
        // After the Origin was judged: preflights of allowed origins are answered here.
        .layer(preflights)
        .service(paths)
}

/// The callback of the sockets for a request that could not be read: it is recorded like every other
/// refusal, and said in the format of a socket.
pub(crate) fn on_refuse(app: &AppState) -> OnRefuse {
    let ledger = Arc::clone(&app.ledger);
    Arc::new(move |error| SocketRefusal {
        request_id: record::refused(&ledger, error),
        body: dialect::unasked().error(error),
    })
}

/// A path table that answers every path and every method.
fn paths_of(app: &AppState, paths: Routes<AppState>) -> Routes {
    paths
        .fallback(admin::endpoints::unknown_path)
        .method_not_allowed_fallback(admin::endpoints::wrong_method)
        .with_state(app.clone())
}

/// The path table.
fn paths() -> Routes<AppState> {
    Routes::new()
        .route("/v1/chat/completions", post(answer::handle))
        .route("/v1/responses", post(answer::handle))
        .route(
            "/v1/responses/{*rest}",
            any(admin::endpoints::stored_response),
        )
        .route("/v1/completions", post(answer::handle))
        .route("/v1/embeddings", post(answer::handle))
        .route("/v1/rerank", post(answer::handle))
        .route("/v1/messages", post(answer::handle))
        .route("/api/chat", post(answer::handle))
        .route("/api/generate", post(answer::handle))
        .route("/api/embed", post(answer::handle))
        .route("/api/embeddings", post(answer::handle))
        .route(MEASURED_PATHS[0], post(measured_answer::handle))
        .route(MEASURED_PATHS[1], post(measured_answer::handle))
        .route("/v1/messages/count_tokens", post(count_tokens::handle))
        .merge(passed_path::paths())
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
    let rewritten = match base_url::canonical(uri.path()) {
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
