//! The long description of a model, which an Ollama alone has: the tokens of its tokenizer and its tensors are too
//! much to be kept from the polls, so it is asked for them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use crucible_config::Config;
use crucible_router::{engine::token_of, machine::awake::within};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{relay::collect::collect, state::AppState};

/// The time in which the engine has to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks an Ollama to describe a model at length; `None` where it does not.
pub(super) async fn described_at_length(
    app: &AppState,
    config: &Config,
    engine: &Arc<str>,
    model: &str,
) -> Option<Map<String, Value>> {
    let address = app.router.engine_address(engine)?;
    let token = app.router.engine_config(engine);
    let token = token.and_then(|config| token_of(&config));
    let body = Bytes::from(json!({ "model": model, "verbose": true }).to_string());
    let request = Request::post("/api/show")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Full::new(body))
        .ok()?;
    let deadline = Instant::now() + PATIENCE;
    let passing = app
        .upstream
        .pass(engine, &address, token.as_deref(), request);
    let answer = within(deadline, PATIENCE, Box::pin(passing)).await?.ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    let most = usize::try_from(config.limits.body).unwrap_or(usize::MAX);
    let most = most.max(config.limits.event);
    let whole = collect(answer.into_body(), most, deadline).await.ok()?;
    serde_json::from_slice(&whole).ok()
}
