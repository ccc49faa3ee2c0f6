use std::sync::Arc;

use axum::{
    Json, Router as Routes,
    routing::{get, post},
};
use bytes::Bytes;
use crucible_config::checked::RequestDefaults;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::{BoxError, ServiceExt as _, buffer::BufferLayer, limit::ConcurrencyLimitLayer};

use super::*;
use crate::{
    dialect::{self, ClientRequest},
    endpoint::Endpoint,
    error::ErrorKind,
    guard::AdmittedClient,
    pipeline::demand,
    request::ActiveRequest,
    state::AppState,
    testing,
};

/// An OpenAI-compatible server that gives back the request it got as the text of its answer.
async fn engine() -> String {
    let models = json!({ "object": "list", "data": [{ "id": "small", "object": "model" }] });
    let answer = async |Json(request): Json<Value>| {
        let message = json!({ "role": "assistant", "content": request.to_string() });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        Json(json!({ "object": "chat.completion", "choices": [choice] }))
    };
    let routes = Routes::new()
        .route("/v1/models", get(async move || Json(models)))
        .route("/v1/chat/completions", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio_util::task::TaskTracker::new().spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

async fn routed(app: &AppState) -> Box<RoutedRequest> {
    let config = app.config.current();
    let client = dialect::unasked();
    let active = Arc::new(ActiveRequest::new("req_1".into(), Endpoint::Chat, client));
    let body = r#"{"model":"small","messages":[{"role":"user","content":"hello"}]}"#;
    let chat = client
        .read(ClientRequest {
            headers: &HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            config: &config,
        })
        .unwrap();
    let admitted = AdmittedClient::default();
    let demand = demand::of(&HeaderMap::new(), &chat, &config, &active.id, &admitted).unwrap();
    let plan = app.router.plan_asking(&demand).await.unwrap();
    let candidate = plan.candidates[0].clone();
    let permit = app.router.acquire(&candidate, &demand).await.unwrap();
    Box::new(RoutedRequest {
        app: app.clone(),
        config,
        active,
        chat,
        candidate,
        permit,
        key: None,
        defaults: RequestDefaults::default(),
    })
}

#[tokio::test]
async fn towers_own_layers_may_stand_in_the_inner_stack() {
    let url = engine().await;
    let app = testing::app(&format!(
        "[[engine]]\nname = \"server\"\nkind = \"openai\"\nurl = \"{url}\"\n"
    ));
    app.router.settled().await;
    let send = ServiceBuilder::new()
        .map_err(|error: BoxError| Error::new(ErrorKind::Internal, error.to_string()))
        .layer(BufferLayer::new(4))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(SendService);
    // A service that was not asked whether it is ready panics in the limit.
    let mut stack = around(send);
    for _ in 0..3 {
        let request = routed(&app).await;
        let answer = stack.ready().await.unwrap().call(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let prompt = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(prompt.contains("\"temperature\":0.3"), "{prompt}");
    }
}
