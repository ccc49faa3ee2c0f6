//! Asking the instance that runs at the configured address.

use std::{env, time::Duration};

use bytes::Bytes;
use crucible_config::Config;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::output::complain;

/// Longest wait for an answer: the instance asks its engines for at most 2 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// The client key of the commands that ask an instance.
const KEY: &str = "CRUCIBLE_KEY";

/// What a running instance answers to `GET` of this path. One that wants a key is told on stderr.
pub(super) async fn ask(config: &Config, path: &str) -> Option<Value> {
    let (status, answer) = send(config, Method::GET, path, Bytes::new()).await?;
    status.is_success().then_some(answer)
}

/// The same for a `POST`, with its status: a refusal is an answer too.
pub(super) async fn tell(config: &Config, path: &str, body: Bytes) -> Option<(StatusCode, Value)> {
    let (status, answer) = send(config, Method::POST, path, body).await?;
    // Whoever else listens there does not know the path, and who wants a key says nothing.
    let answers = status.is_success() || answer["error"]["code"].is_string();
    let knows = status != StatusCode::UNAUTHORIZED && answer["error"]["code"] != "unknown_endpoint";
    (answers && knows).then_some((status, answer))
}

async fn send(
    config: &Config,
    method: Method,
    path: &str,
    body: Bytes,
) -> Option<(StatusCode, Value)> {
    let addr = config.listen.first().filter(|addr| addr.port() != 0)?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .ok()?;
    let mut request = client
        .request(method, format!("http://{addr}{path}"))
        .body(body);
    if let Ok(key) = env::var(KEY) {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.ok()?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        complain(&format!(
            "the instance at {addr} wants a client key: set {KEY} to one of its keys"
        ));
    }
    Some((answer.status(), answer.json().await.ok()?))
}
