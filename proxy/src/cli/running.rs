//! Asking the instance that runs at the configured address.

use std::{env, time::Duration};

use crucible_config::Config;
use reqwest::StatusCode;
use serde_json::Value;

use super::output::complain;

/// Longest wait for an answer: the instance asks its engines for at most 2 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// The client key of the commands that ask an instance.
const KEY: &str = "CRUCIBLE_KEY";

/// What a running instance answers to `GET` of this path. One that wants a key is told on stderr.
pub(super) async fn ask(config: &Config, path: &str) -> Option<Value> {
    let addr = config.listen.first().filter(|addr| addr.port() != 0)?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .ok()?;
    let mut request = client.get(format!("http://{addr}{path}"));
    if let Ok(key) = env::var(KEY) {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.ok()?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        complain(&format!(
            "the instance at {addr} wants a client key: set {KEY} to one of its keys"
        ));
    }
    answer.error_for_status().ok()?.json().await.ok()
}
