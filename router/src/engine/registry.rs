//! The drivers by kind of engine: which one a configured engine gets, and which kind answers at an
//! address. A new kind of engine is entered here and has its profile in the configuration.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::{self, EngineKind, Manage};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::{
    driver::Engine,
    error::EngineError,
    http::{Client, EngineEndpoint, hidden_error},
    llamacpp::Llamacpp,
    lmstudio::{Lmstudio, LoadConfig, WebsocketDriver},
    ollama::Ollama,
    ollama_recipe::OllamaRecipe,
    openai::{self, Openai},
    spawn::{
        Spawned,
        children::Children,
        ollama::{OllamaSetup, SpawnedOllama},
    },
};
use crate::transport::EngineAddress;

/// The time for all questions to one address.
const IDENTIFY_BUDGET: Duration = Duration::from_secs(3);
/// A path that LM Studio alone answers.
const GREETING: &str = "/lmstudio-greeting";

/// The control side of a configured engine.
///
/// `client` comes from [`super::http::client`]; `keep_alive` is what Ollama is told to keep an idle model for
/// (`tuning.lmstudio.model_ttl`); `token` is the engine's own; `recipe` is there for an Ollama that is to be started as
/// a child, of which `children` keeps account; `load_config` turns LM Studio's WebSocket driver
/// on. `None`
/// where the engine has neither an address nor a model file to spawn (the configuration's check does
/// not let that through).
pub fn build(
    client: &Client,
    engine: &checked::EngineConfig,
    token: Option<&str>,
    keep_alive: Duration,
    recipe: Option<OllamaRecipe>,
    load_config: Option<LoadConfig>,
    children: &Arc<Children>,
) -> Option<Arc<dyn Engine>> {
    if let Some(recipe) = recipe {
        let setup = OllamaSetup {
            name: Arc::clone(&engine.name),
            command: engine.command.clone(),
            url: engine.url.clone(),
            memory_max: cfg!(target_os = "linux").then_some(recipe.memory_max),
            recipe,
            keep_alive,
            children: Arc::clone(children),
        };
        let spawned = SpawnedOllama::new(client.clone(), setup);
        return Some(Arc::new(spawned));
    }
    if engine.manage == Manage::Spawn
        && let (EngineKind::Llamacpp, Some(model)) = (engine.kind, &engine.model_path)
    {
        return Some(Arc::new(Spawned::new(
            Arc::clone(&engine.name),
            client.clone(),
            engine.command.clone(),
            model.clone(),
            token.map(str::to_owned),
            Arc::clone(children),
        )));
    }
    let base = openai::root(engine.url.as_ref()?);
    let address = EngineAddress::new(base, engine.ca_file.as_ref());
    let address = address
        .inspect_err(|error| tracing::warn!(engine = &*engine.name, "{error}"))
        .ok()?;
    let endpoint = EngineEndpoint::new(client.clone(), address, token);
    let driver = load_config.map(|load| WebsocketDriver::new(&endpoint, token, load, keep_alive));
    Some(match engine.kind {
        EngineKind::Ollama => Arc::new(Ollama::new(endpoint, keep_alive)),
        EngineKind::Lmstudio => Arc::new(Lmstudio::new(endpoint, driver)),
        EngineKind::Llamacpp => Arc::new(Llamacpp::new(endpoint)),
        EngineKind::Openai => Arc::new(Openai::new(endpoint)),
    })
}

/// Asks what answers at an address, within 3 s; `None` where nothing does, or no known engine.
///
/// `usual` is the kind that is expected there: an LM Studio that wants a token is recognised by its
/// refusal, which is believed only where LM Studio usually listens.
pub async fn identify(client: &Client, url: &Url, usual: EngineKind) -> Option<EngineKind> {
    let address = EngineAddress::new(url.clone(), None).ok()?;
    let endpoint = EngineEndpoint::new(client.clone(), address, None);
    timeout(IDENTIFY_BUDGET, ask(&endpoint, usual))
        .await
        .ok()
        .flatten()
}

async fn ask(endpoint: &EngineEndpoint, usual: EngineKind) -> Option<EngineKind> {
    match endpoint.get(GREETING).await {
        Ok(greeting) if greeting.get("lmstudio") == Some(&Value::Bool(true)) => {
            return Some(EngineKind::Lmstudio);
        }
        Err(EngineError::NobodyListens(_) | EngineError::Unreachable(_) | EngineError::Timeout) => {
            return None;
        }
        Err(EngineError::Refused {
            status: 401 | 403, ..
        }) if usual == EngineKind::Lmstudio => {
            // One with "Require Authentication".
            let (_, _, text) = endpoint.get_text(GREETING).await.ok()?;
            let refusal: Value = serde_json::from_str(&text).ok()?;
            let known = refusal["error"]["code"] == "invalid_api_key";
            return known.then_some(EngineKind::Lmstudio);
        }
        Ok(_) | Err(_) => {}
    }
    let (_, server, text) = endpoint.get_text("/").await.ok()?;
    if text.trim() == "Ollama is running" {
        return Some(EngineKind::Ollama);
    }
    if text.starts_with("Crucible ") {
        // Another one answers the paths of every kind and is none of them.
        return None;
    }
    if server.is_some_and(|s| s.to_ascii_lowercase().starts_with("llama.cpp")) {
        return Some(EngineKind::Llamacpp);
    }
    let (_, _, text) = endpoint.get_text("/props").await.ok()?;
    let props: Value = serde_json::from_str(&text).ok()?;
    let known = hidden_error(&props).is_none()
        && (props.get("default_generation_settings").is_some()
            || props.get("total_slots").is_some());
    known.then_some(EngineKind::Llamacpp)
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use serde_json::json;

    use super::*;
    use crate::engine::{client, testing::Fake};

    #[tokio::test]
    async fn engines_are_recognised_by_their_answers() {
        let greeting = get(|| async { Json(json!({"lmstudio": true})) });
        let props = get(|| async { Json(json!({"total_slots": 1})) });
        let odd = || get(|| async { Json(json!({"error": "Unexpected endpoint"})) });
        let apps = [
            (
                Router::new().route("/lmstudio-greeting", greeting),
                Some(EngineKind::Lmstudio),
            ),
            (
                Router::new().route("/", get(|| async { "Ollama is running" })),
                Some(EngineKind::Ollama),
            ),
            (
                Router::new().route("/props", props),
                Some(EngineKind::Llamacpp),
            ),
            (Router::new().route("/", odd()).route("/props", odd()), None),
        ];
        let client = client(Duration::from_secs(1));
        for (app, expected) in apps {
            let fake = Fake::start(app).await;
            let found = identify(&client, &fake.url, EngineKind::Openai).await;
            assert_eq!(found, expected);
        }
    }
}
