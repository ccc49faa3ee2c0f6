//! Asking the instance that runs at the configured address.

use std::{env, net::SocketAddr, time::Duration};

use crucible_config::Config;
use reqwest::StatusCode;
use serde_json::Value;

use super::output::complain;

/// Longest wait for an answer: the instance asks its engines for at most 2 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// The client key of the commands that ask an instance.
const KEY: &str = "CRUCIBLE_KEY";

/// What an instance said.
enum Said {
    Answer(Value),
    /// It wants a key, or another one.
    KeyRefused(SocketAddr),
    Nothing,
}

/// What a running instance answers to `GET` of this path. One that wants a key is told on stderr.
pub(super) async fn ask(config: &Config, path: &str) -> Option<Value> {
    match get(config, path).await {
        Said::Answer(answer) => Some(answer),
        Said::KeyRefused(addr) => {
            complain(&format!(
                "the instance at {addr} wants a client key: set {KEY} to one of its keys"
            ));
            None
        }
        Said::Nothing => None,
    }
}

async fn get(config: &Config, path: &str) -> Said {
    let Some(addr) = config.listen.first().filter(|addr| addr.port() != 0) else {
        return Said::Nothing;
    };
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let Ok(client) = client.build() else {
        return Said::Nothing;
    };
    let mut request = client.get(format!("http://{addr}{path}"));
    if let Ok(key) = env::var(KEY) {
        request = request.bearer_auth(key);
    }
    let Ok(answer) = request.send().await else {
        return Said::Nothing;
    };
    match answer.status() {
        StatusCode::UNAUTHORIZED => Said::KeyRefused(*addr),
        StatusCode::OK => answer.json().await.map_or(Said::Nothing, Said::Answer),
        _ => Said::Nothing,
    }
}
