//! Shared by the simulators' own tests: a client and bounded waiting.
#![expect(clippy::expect_used, reason = "test code outside of test functions")]

use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work)
        .await
        .expect("in time")
}

pub(crate) async fn post(url: &str, path: &str, body: Value) -> (u16, String) {
    let sent = reqwest::Client::new()
        .post(format!("{url}{path}"))
        .body(body.to_string());
    let reply = soon(sent.send()).await.expect("an answer");
    let status = reply.status().as_u16();
    (status, soon(reply.text()).await.expect("a body"))
}

pub(crate) async fn get(url: &str, path: &str) -> (u16, String) {
    let reply = soon(reqwest::get(format!("{url}{path}")))
        .await
        .expect("an answer");
    let status = reply.status().as_u16();
    (status, soon(reply.text()).await.expect("a body"))
}

pub(crate) fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": text}]})
}

pub(crate) fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
