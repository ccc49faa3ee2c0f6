use axum::{body::Body, error_handling::HandleErrorLayer};
use http::StatusCode;
use http_body_util::BodyExt as _;
use tower::{
    BoxError, ServiceExt as _,
    buffer::BufferLayer,
    limit::{ConcurrencyLimit, ConcurrencyLimitLayer},
};

use super::*;
use crate::{
    error::{Error, ErrorKind},
    testing,
};

/// The paths below tower's own layers, one of which gives its place only to whoever asked for it.
fn limited(
    app: &AppState,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |error: BoxError| {
            reply::refuse(Error::new(ErrorKind::Internal, error.to_string()))
        }))
        .layer(BufferLayer::new(4))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(paths_of(app, paths()))
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
}

#[tokio::test]
async fn towers_own_layers_may_stand_in_the_outer_stack() {
    let app = testing::app_without_engines();
    let stack = ServiceBuilder::new()
        .map_err(|error: BoxError| error)
        .layer(BufferLayer::new(4))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(layers(&app, limited(&app)));
    for _ in 0..3 {
        let health = request("GET", "/healthz").body(Body::empty()).unwrap();
        let answer = stack.clone().oneshot(health).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        // A page of an allowed origin takes the way over tower-http's CORS.
        let page = request("GET", "/healthz")
            .header("origin", "http://localhost:3000")
            .header("content-type", "application/json");
        let answer = stack
            .clone()
            .oneshot(page.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_service_that_was_asked_whether_it_is_ready_is_the_one_that_is_called() {
    let app = testing::app_without_engines();
    let paths = ConcurrencyLimit::new(paths_of(&app, paths()), 2);
    let mut stack = layers(&app, paths);
    for origin in [
        None,
        Some("http://localhost:3000"),
        Some("http://evil.example"),
        None,
    ] {
        let mut health = request("GET", "/healthz");
        if let Some(origin) = origin {
            health = health.header("origin", origin);
        }
        let health = health.body(Body::empty()).unwrap();
        let answer = stack.ready().await.unwrap().call(health).await.unwrap();
        let refused = origin.is_some_and(|origin| origin.contains("evil"));
        let status = if refused {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::OK
        };
        assert_eq!(answer.status(), status, "{origin:?}");
    }
}

#[tokio::test]
async fn errors_of_every_layer_have_a_body_in_the_clients_format() {
    let app = testing::app_without_engines();
    for (request, code) in [
        (request("GET", "/nowhere"), "unknown_endpoint"),
        (request("GET", "/v1/chat/completions"), "unknown_endpoint"),
        (
            request("GET", "/healthz").header("origin", "http://evil.example"),
            "origin_not_allowed",
        ),
        (request("POST", "/models/load"), "endpoint_closed"),
        (request("POST", "/v1/chat/completions"), "invalid_json"),
    ] {
        let request = request.body(Body::empty()).unwrap();
        let uri = request.uri().clone();
        let stack = layers(&app, paths_of(&app, paths()));
        let answer = stack.oneshot(request).await.unwrap();
        assert_eq!(
            answer.headers()["content-type"],
            "application/json",
            "{uri}"
        );
        let text = text(answer).await;
        assert!(
            text.contains(&format!("\"code\":\"{code}\"")),
            "{uri}: {text}"
        );
    }
}
