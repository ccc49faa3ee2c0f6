//! llama.cpp's server that somebody else runs: one model, always resident, or router mode with many
//! that are loaded and unloaded. Its `n_ctx` is per slot.

mod resident;
mod router_mode;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use self::{
    resident::resident_of,
    router_mode::{ModelFacts, ModelStatus},
};
use super::{
    Engine, EngineError, Listing, LoadOrder, backoff,
    http::{EngineEndpoint, count, count32, flag, items, text},
    openai::parse_models,
    slots::{self, SlotPrompt},
};
use crate::{
    catalog::{ModelInfo, ResidentInfo},
    machine::local::is_local,
    transport::EngineAddress,
};

/// The time that the server has to read its folder of models anew.
const REREAD: Duration = Duration::from_secs(1);
/// The most models of a list of which each has its file looked at.
const FILES: usize = 200;

/// The driver of a running llama.cpp server that Crucible did not start.
#[derive(Debug)]
pub(crate) struct Llamacpp {
    endpoint: EngineEndpoint,
    /// Router mode: what models told while they ran.
    facts: Mutex<HashMap<Arc<str>, ModelFacts>>,
}

// === impl Llamacpp ===

impl Llamacpp {
    /// Makes the driver of a llama.cpp server at `endpoint`. Nothing is asked yet.
    pub(crate) fn new(endpoint: EngineEndpoint) -> Self {
        Self {
            endpoint,
            facts: Mutex::default(),
        }
    }

    fn facts(&self) -> MutexGuard<'_, HashMap<Arc<str>, ModelFacts>> {
        self.facts.lock()
    }

    async fn poll(&self) -> Result<Listing, EngineError> {
        let (models, props) = ask(&self.endpoint).await?;
        if !router_mode::is_router(&models, &props) {
            return parse_server(&models, &props);
        }
        let unread = router_mode::unread(&models, &self.facts());
        let asked = unread.into_iter().map(|model| async move {
            // Without this, asking would load it.
            let query = [("model", model.as_str()), ("autoload", "false")];
            let props = self.endpoint.get_with("/props", &query).await.ok()?;
            Some((model, props))
        });
        for (model, props) in join_all(asked).await.into_iter().flatten() {
            let facts = router_mode::facts(&models, &model, &props);
            self.facts().insert(model.into(), facts);
        }
        let sizes = self.sizes(&models).await;
        router_mode::parse(&models, &props, &self.facts(), &sizes)
    }

    /// Router mode reads its folder anew only where it is told to, and then unloads models whose files
    /// or presets have changed: not while it answers.
    async fn reread(&self) -> Result<(), EngineError> {
        let (models, props) = ask(&self.endpoint).await?;
        if !router_mode::is_router(&models, &props) {
            return Ok(());
        }
        let running = router_mode::running(&models)
            .into_iter()
            .map(|model| async move { slots::processing(&self.endpoint, &model).await == Some(0) });
        if join_all(running).await.into_iter().all(|idle| idle) {
            let query = [("reload", "1")];
            self.endpoint.get_with("/v1/models", &query).await?;
        }
        Ok(())
    }

    /// The sizes in bytes of the models' files, where they lie on this machine.
    async fn sizes(&self, models: &Value) -> HashMap<String, u64> {
        if !is_local(self.endpoint.address().url()) {
            return HashMap::new();
        }
        let files = router_mode::files(models).into_iter().take(FILES);
        let sizes = files.map(|(model, path)| async move {
            let told = tokio::fs::metadata(path).await.ok()?;
            Some((model, told.len()))
        });
        join_all(sizes).await.into_iter().flatten().collect()
    }

    async fn load_model(&self, order: &LoadOrder) -> Result<ResidentInfo, EngineError> {
        let held = |listing: Listing| {
            let mut residents = listing.residents.into_iter();
            residents.find(|r| r.model == order.model)
        };
        let listing = self.poll().await?;
        let loads = listing.load_control;
        if let Some(held) = held(listing) {
            return Ok(held);
        }
        if !loads {
            return Err(EngineError::Unsupported(
                "load (it serves the model it was started with)",
            ));
        }
        let model = &*order.model;
        let body = json!({"model": model});
        match self.endpoint.post("/models/load", &body).await {
            Ok(_) => {}
            // Somebody's request loads it.
            Err(EngineError::Refused {
                status: 400,
                message,
            }) if message.contains("running") => {}
            Err(error) => return Err(error),
        }
        let mut attempt = 0;
        loop {
            let failed = match ModelStatus::of(&self.endpoint.get("/v1/models").await?, model) {
                ModelStatus::Ready => match held(self.poll().await?) {
                    Some(held) => return Ok(held),
                    None => None,
                },
                ModelStatus::Coming => None,
                ModelStatus::Failed(code) => Some(format!(
                    "its process ended with exit code {code}; what llama-server wrote says why"
                )),
                ModelStatus::Unloaded => {
                    Some("it was unloaded again before it was ready".to_owned())
                }
                ModelStatus::Absent => Some("the server does not list it any more".to_owned()),
            };
            if let Some(message) = failed {
                return Err(EngineError::Refused {
                    status: 500,
                    message,
                });
            }
            sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }

    async fn unload_model(&self, model: &str) -> Result<(), EngineError> {
        let body = json!({"model": model});
        match self.endpoint.post("/models/unload", &body).await {
            Ok(_) => {}
            // It was gone already.
            Err(EngineError::Refused {
                status: 400,
                message,
            }) if message.contains("not running") => {}
            // A server of one model has no such path.
            Err(EngineError::Refused { status: 404, .. }) => {
                return Err(EngineError::Unsupported("unload"));
            }
            Err(error) => return Err(error),
        }
        let mut attempt = 0;
        loop {
            let models = self.endpoint.get("/v1/models").await?;
            if !matches!(
                ModelStatus::of(&models, model),
                ModelStatus::Ready | ModelStatus::Coming
            ) {
                return Ok(());
            }
            sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }
}

impl Engine for Llamacpp {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(self.poll())
    }

    fn list_anew(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(async {
            // What is known of it is told all the same.
            let _ = timeout(REREAD, self.reread()).await;
            self.poll().await
        })
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(async move { self.load_model(&order).await })
    }

    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.unload_model(&resident.instance))
    }

    fn processing<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(slots::processing(&self.endpoint, model))
    }

    fn prompts<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<Vec<SlotPrompt>>> {
        Box::pin(slots::prompts(&self.endpoint, model))
    }

    fn address(&self) -> Option<EngineAddress> {
        Some(self.endpoint.address().clone())
    }
}

/// Health, models and slots of a running server. `/health` is 503 while it loads.
pub(crate) async fn read_server(endpoint: &EngineEndpoint) -> Result<Listing, EngineError> {
    let (models, props) = ask(endpoint).await?;
    parse_server(&models, &props)
}

/// Asks `/v1/models` and `/props`.
async fn ask(endpoint: &EngineEndpoint) -> Result<(Value, Value), EngineError> {
    endpoint.get("/health").await?;
    let (models, props) = futures_util::join!(endpoint.get("/v1/models"), endpoint.get("/props"));
    // The list is open to everybody, what is asked of it is not (`--api-key`).
    if let Err(
        refused @ EngineError::Refused {
            status: 401 | 403, ..
        },
    ) = props
    {
        return Err(refused);
    }
    // `/props` may be closed; the list alone will do.
    Ok((models?, props.unwrap_or_default()))
}

fn parse_server(body: &Value, props: &Value) -> Result<Listing, EngineError> {
    let none = Value::Null;
    let settings = props.get("default_generation_settings").unwrap_or(&none);
    let slots = count32(props, "total_slots").filter(|n| *n > 0);
    let per_slot = count(settings, "n_ctx").or_else(|| count(props, "n_ctx"));
    let mut models = parse_models(body)?;
    let mut residents = Vec::new();
    for model in &mut models {
        let entry = items(body, "data")
            .iter()
            .find(|e| text(e, "id").as_deref() == Some(&model.id));
        let entry = entry.unwrap_or(&none);
        describe(model, entry, props);
        let from_list = entry.get("meta").and_then(|m| count(m, "n_ctx"));
        residents.push(resident_of(model, slots, per_slot.or(from_list)));
    }
    Ok(Listing {
        version: text(props, "build_info"),
        models,
        residents,
        load_control: false,
        max_loaded: None,
    })
}

fn describe(model: &mut ModelInfo, entry: &Value, props: &Value) {
    // Without an alias the id is the path of the file; the server ignores the name in requests.
    model.id = file_stem(&model.id);
    model.format.get_or_insert_with(|| "gguf".into());
    let able = |key: &str, field: &str| props.get(key).and_then(|v| flag(v, field));
    model.capabilities.vision = able("modalities", "vision");
    model.capabilities.tools = able("chat_template_caps", "supports_tools");
    model.max_context = entry
        .get("meta")
        .and_then(|m| count(m, "n_ctx_train"))
        .or(model.max_context);
}

/// `/models/tiny-q4.gguf` is called `tiny-q4`; other names are as they are.
pub(crate) fn file_stem(name: &str) -> Arc<str> {
    match name.strip_suffix(".gguf") {
        Some(path) => Arc::from(path.rsplit(['/', '\\']).next().unwrap_or(path)),
        None => Arc::from(name),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::StatusCode, routing::get};
    use serde_json::json;

    use super::*;
    use crate::{
        catalog::ModelKind,
        engine::{LoadTuple, testing::Fake},
    };

    fn server() -> Router {
        let models = json!({"models": [], "data": [{"id": "/m/tiny-q4.gguf",
            "meta": {"n_ctx": 2048, "n_ctx_train": 8192, "size": 98_000_000}}]});
        let props = json!({"total_slots": 2, "default_generation_settings": {"n_ctx": 2048},
            "chat_template_caps": {"supports_tools": false}, "build_info": "b10488-abc"});
        Router::new()
            .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
            .route("/v1/models", get(|| async { Json(models) }))
            .route("/props", get(|| async { Json(props) }))
    }

    #[tokio::test]
    async fn the_only_model_is_resident_with_all_its_slots() {
        let fake = Fake::start(server()).await;
        let engine = Llamacpp::new(fake.endpoint());
        let listing = engine.list().await.unwrap();
        assert_eq!(&*listing.models[0].id, "tiny-q4");
        assert_eq!(listing.models[0].max_context, Some(8192));
        assert_eq!(listing.models[0].capabilities.tools, Some(false));
        assert_eq!(listing.residents[0].context, Some(4096));
        assert_eq!(listing.residents[0].parallel, Some(2));
        assert_eq!(listing.version.as_deref(), Some("b10488-abc"));
        let order = |model: &str| LoadOrder {
            model: Arc::from(model),
            kind: ModelKind::Generation,
            tuple: LoadTuple::default(),
            permits: 2,
            pinned: false,
        };
        assert_eq!(
            engine.load(order("tiny-q4")).await.unwrap(),
            listing.residents[0]
        );
        assert!(matches!(
            engine.load(order("other")).await,
            Err(EngineError::Unsupported(_))
        ));
    }

    #[tokio::test]
    async fn a_server_that_still_loads_is_not_up() {
        let body = json!({"error": {"message": "Loading model", "code": 503}});
        let app = Router::new().route(
            "/health",
            get(|| async { (StatusCode::SERVICE_UNAVAILABLE, Json(body)) }),
        );
        let fake = Fake::start(app).await;
        let error = Llamacpp::new(fake.endpoint()).list().await.unwrap_err();
        assert_eq!(
            error,
            EngineError::Refused {
                status: 503,
                message: "Loading model".into()
            }
        );
    }
}
