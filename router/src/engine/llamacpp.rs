//! llama.cpp's server that somebody else runs: one model, always resident (router mode: those
//! that it says are loaded). Its `n_ctx` is per slot.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use url::Url;

use super::{
    Engine, EngineError, Listing, LoadOrder,
    http::{Endpoint, count, count32, flag, items, text},
    openai::parse_models,
    slots,
};
use crate::catalog::{ModelInfo, ResidentInfo};

/// An attached llama.cpp server.
#[derive(Debug)]
pub(crate) struct Llamacpp {
    endpoint: Endpoint,
}

// === impl Llamacpp ===

impl Llamacpp {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl Engine for Llamacpp {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(read_server(&self.endpoint))
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(async move {
            let listing = self.list().await?;
            let mut residents = listing.residents.into_iter();
            residents
                .find(|r| r.model == order.model)
                .ok_or(EngineError::Unsupported(
                    "load (it serves the model it was started with)",
                ))
        })
    }

    fn unload<'a>(&'a self, _: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async { Err(EngineError::Unsupported("unload")) })
    }

    fn processing<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(slots::processing(&self.endpoint, model))
    }

    fn base_url(&self) -> Option<Url> {
        Some(self.endpoint.base().clone())
    }
}

/// Health, models and slots of a running server. `/health` is 503 while it loads.
pub(crate) async fn read_server(endpoint: &Endpoint) -> Result<Listing, EngineError> {
    endpoint.get("/health").await?;
    let (models, props) = futures_util::join!(endpoint.get("/v1/models"), endpoint.get("/props"));
    // The list is open to everybody, what is asked of it is not (`--api-key`).
    if let Err(refused @ EngineError::Refused { status: 401 | 403, .. }) = props {
        return Err(refused);
    }
    // `/props` may be closed or want a model in router mode; the list alone will do.
    parse_server(&models?, &props.unwrap_or_default())
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
        let status = entry.get("status").and_then(|s| text(s, "value"));
        if status.is_some_and(|s| s != "loaded" && s != "sleeping") {
            continue;
        }
        let from_list = entry.get("meta").and_then(|m| count(m, "n_ctx"));
        residents.push(ResidentInfo {
            context: per_slot
                .or(from_list)
                .map(|n| n.saturating_mul(u64::from(slots.unwrap_or(1)))),
            parallel: slots,
            bytes: model.size_bytes,
            ..ResidentInfo::named(Arc::clone(&model.id), model.kind)
        });
    }
    Ok(Listing {
        version: text(props, "build_info"),
        models,
        residents,
        load_control: false,
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
        engine::{Tuple, testing::Fake},
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
            tuple: Tuple::default(),
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
