//! LM Studio's control side: REST v1 (0.4.0 and newer), else the older lists without load control.
//!
//! Its load is not idempotent (a second call makes a second instance), so it looks first; its
//! load body is strict; its unknown paths answer 200 with an error inside, so an answer counts
//! only by its shape.

mod driver;
mod load_config;
mod socket;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

pub(crate) use self::driver::{WebsocketDriver, engine_idle_ttl, instance_facts};
pub use self::load_config::{IdleTtl, InstanceFacts, LoadConfig};
use self::load_config::{is_mlx, whole_context};
use super::{
    Engine, EngineError, Listing, LoadOrder, backoff,
    description::bounded,
    http::{EngineEndpoint, count, count32, flag, items, name, text},
    openai::parse_models,
};
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ModelMetadata, ResidentInfo},
    transport::EngineAddress,
};

/// The most identifiers that are remembered of one model.
const IDENTIFIERS: usize = 32;
/// The number of times that the list is read for an instance that was just loaded.
const CONFIRM_TRIES: u32 = 6;

/// The driver of one LM Studio: it lists, loads and unloads models over its REST API.
#[derive(Debug)]
pub(crate) struct Lmstudio {
    endpoint: EngineEndpoint,
    /// REST v1 has answered: a later failure is a failure, not an older server.
    v1_seen: AtomicBool,
    /// The WebSocket driver, where it is on.
    driver: Option<WebsocketDriver>,
    /// The identifiers that people gave the instances of each model. A load by Crucible has an
    /// identifier of its own, and requests for a person's identifier still find the model.
    identifiers: Mutex<HashMap<Arc<str>, BTreeSet<Arc<str>>>>,
}

// === impl Lmstudio ===

impl Lmstudio {
    /// Makes the driver of an LM Studio at `endpoint`; `driver` is its WebSocket API, where the
    /// configuration switches that on.
    pub(crate) fn new(endpoint: EngineEndpoint, driver: Option<WebsocketDriver>) -> Self {
        Self {
            endpoint,
            v1_seen: AtomicBool::new(false),
            driver,
            identifiers: Mutex::default(),
        }
    }

    /// Notes the identifiers of what is loaded, and names each model by those that it had.
    fn remember(&self, listing: &mut Listing) {
        let mut all = self.identifiers.lock();
        for held in &listing.residents {
            let numbered = held.instance.strip_prefix(&*held.model);
            if numbered.is_some_and(|rest| rest.is_empty() || rest.starts_with(':')) {
                continue;
            }
            let of_it = all.entry(Arc::clone(&held.model)).or_default();
            if of_it.len() < IDENTIFIERS {
                of_it.insert(Arc::clone(&held.instance));
            }
        }
        for model in &mut listing.models {
            if let Some(names) = all.get(&model.id) {
                model.names = names.iter().cloned().collect();
            }
        }
    }

    async fn poll(&self) -> Result<Listing, EngineError> {
        match self.poll_v1().await {
            Err(EngineError::Refused { status, .. })
                if !self.v1_seen.load(Ordering::Relaxed) && !matches!(status, 401 | 403) => {}
            Err(EngineError::Unexpected(_)) if !self.v1_seen.load(Ordering::Relaxed) => {}
            answer => return answer,
        }
        if let Ok(body) = self.endpoint.get("/api/v0/models").await
            && body.get("data").is_some_and(Value::is_array)
        {
            return Ok(parse_v0(&body));
        }
        let body = self.endpoint.get("/v1/models").await?;
        Ok(Listing {
            models: parse_models(&body)?,
            ..Listing::default()
        })
    }

    async fn poll_v1(&self) -> Result<Listing, EngineError> {
        let body = self.endpoint.get("/api/v1/models").await?;
        if !body.get("models").is_some_and(Value::is_array) {
            return Err(EngineError::Unexpected(
                "/api/v1/models has no `models`".into(),
            ));
        }
        self.v1_seen.store(true, Ordering::Relaxed);
        let mut listing = parse_v1(&body);
        self.remember(&mut listing);
        Ok(listing)
    }

    async fn load_instance(&self, order: LoadOrder) -> Result<ResidentInfo, EngineError> {
        let listing = self.poll_v1().await?;
        if let Some(answer) = look_first(&listing, &order) {
            return answer;
        }
        let known = listing
            .models
            .iter()
            .find(|m| m.id.eq_ignore_ascii_case(&order.model));
        let driven = match &self.driver {
            // The layers on the GPU and the types of the caches are settings of generation models.
            Some(driver) if order.kind == ModelKind::Generation => {
                driver.load(&order, known).await?
            }
            _ => None,
        };
        let instance = match driven {
            Some(instance) => instance,
            None => self.load_over_rest(&order, known).await?,
        };
        for attempt in 0..CONFIRM_TRIES {
            let listing = self.poll_v1().await?;
            if let Some(found) = listing
                .residents
                .into_iter()
                .find(|r| r.instance == instance)
            {
                return Ok(found);
            }
            sleep(backoff(attempt)).await;
        }
        Err(EngineError::Unexpected(format!(
            "'{}' was loaded but is not listed",
            order.model
        )))
    }

    async fn load_over_rest(
        &self,
        order: &LoadOrder,
        known: Option<&ModelInfo>,
    ) -> Result<Arc<str>, EngineError> {
        let body = load_body(order, known);
        let reply = self.endpoint.post("/api/v1/models/load", &body).await?;
        name(&reply, "instance_id").ok_or_else(|| {
            EngineError::Unexpected("the answer to the load names no instance".into())
        })
    }

    async fn unload_instance(&self, instance: &str) -> Result<(), EngineError> {
        let body = json!({"instance_id": instance});
        let answer = self.endpoint.post("/api/v1/models/unload", &body).await;
        let mut attempt = 0;
        loop {
            let listing = self.poll_v1().await?;
            if !listing.residents.iter().any(|r| &*r.instance == instance) {
                // Also where it was refused because it was gone already.
                return Ok(());
            }
            if let Err(error) = answer {
                return Err(error);
            }
            sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }
}

impl Engine for Lmstudio {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(self.poll())
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(self.load_instance(order))
    }

    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.unload_instance(&resident.instance))
    }

    fn address(&self) -> Option<EngineAddress> {
        Some(self.endpoint.address().clone())
    }
}

/// An instance that is already there: it serves when its context suffices; a second one beside it
/// is never loaded.
fn look_first(listing: &Listing, order: &LoadOrder) -> Option<Result<ResidentInfo, EngineError>> {
    let mut smaller = None;
    for held in &listing.residents {
        if !held.model.eq_ignore_ascii_case(&order.model) {
            continue;
        }
        match (held.context, order.tuple.context) {
            (Some(has), Some(wanted)) if has < wanted => smaller = Some(held),
            _ => return Some(Ok(held.clone())),
        }
    }
    smaller.map(|held| Err(EngineError::HeldSmaller(Box::new(held.clone()))))
}

/// The strict load body: any key beyond the documented ones is a 400. Batch and flash attention
/// are llama.cpp's; MLX has neither.
fn load_body(order: &LoadOrder, known: Option<&ModelInfo>) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(&*order.model));
    if let Some(whole) = whole_context(order, known) {
        body.insert("context_length".into(), json!(whole));
    }
    if !is_mlx(known) {
        if let Some(batch) = order.tuple.batch {
            body.insert("eval_batch_size".into(), json!(batch));
        }
        if let Some(on) = order.tuple.flash_attention {
            body.insert("flash_attention".into(), json!(on));
        }
    }
    body.insert("echo_load_config".into(), json!(true));
    Value::Object(body)
}

fn kind_of(value: &Value) -> ModelKind {
    let kind = text(value, "type").unwrap_or_default();
    if kind.starts_with("embedding") {
        ModelKind::Embedding
    } else {
        ModelKind::Generation
    }
}

fn parse_v1(body: &Value) -> Listing {
    let mut listing = Listing {
        load_control: true,
        ..Listing::default()
    };
    let none = Value::Null;
    for entry in items(body, "models") {
        let Some(id) = name(entry, "key") else {
            continue;
        };
        let kind = kind_of(entry);
        for instance in items(entry, "loaded_instances") {
            let Some(instance_id) = name(instance, "id") else {
                continue;
            };
            let config = instance.get("config").unwrap_or(&none);
            listing.residents.push(ResidentInfo {
                model: Arc::clone(&id),
                instance: instance_id,
                kind,
                context: count(config, "context_length"),
                parallel: count32(config, "parallel"),
                bytes: count(entry, "size_bytes"),
                vram_bytes: None,
                expires_at: None,
                batch_size: count32(config, "eval_batch_size"),
                flash_attention: flag(config, "flash_attention"),
            });
        }
        listing.models.push(model_v1(entry, id, kind));
    }
    listing
}

/// Reads the model of one entry of `/api/v1/models`.
fn model_v1(entry: &Value, id: Arc<str>, kind: ModelKind) -> ModelInfo {
    let able = entry.get("capabilities").unwrap_or(&Value::Null);
    let trained = flag(able, "trained_for_tool_use");
    ModelInfo {
        runner: Arc::clone(&id),
        load: Arc::default(),
        via: Arc::default(),
        names: Arc::default(),
        id,
        kind,
        capabilities: Capabilities {
            // Models that were not trained get a default tool use (LM Studio's documentation).
            tools: trained.map(|_| true),
            trained_for_tools: trained,
            vision: flag(able, "vision"),
            thinking: able.get("reasoning").map(|r| !r.is_null() && r != false),
            ..Capabilities::default()
        },
        max_context: count(entry, "max_context_length"),
        size_bytes: count(entry, "size_bytes"),
        context_bytes: None,
        quantization: entry
            .get("quantization")
            .and_then(|q| text(q, "name").or_else(|| q.as_str().map(str::to_owned))),
        format: text(entry, "format"),
        cloud: false,
        created: None,
        metadata: Arc::new(ModelMetadata {
            architecture: text(entry, "architecture"),
            parameter_size: text(entry, "params_string"),
            publisher: text(entry, "publisher"),
            display_name: text(entry, "display_name"),
            description: entry
                .as_object()
                .map(|members| Arc::new(bounded(members, "loaded_instances"))),
            ..ModelMetadata::default()
        }),
    }
}

fn parse_v0(body: &Value) -> Listing {
    let mut listing = Listing::default();
    for entry in items(body, "data") {
        let Some(id) = name(entry, "id") else {
            continue;
        };
        let kind = kind_of(entry);
        if text(entry, "state").as_deref() == Some("loaded") {
            listing.residents.push(ResidentInfo {
                context: count(entry, "loaded_context_length"),
                ..ResidentInfo::named(Arc::clone(&id), kind)
            });
        }
        let vision = text(entry, "type").map(|t| t == "vlm");
        listing.models.push(ModelInfo {
            runner: Arc::clone(&id),
            load: Arc::default(),
            via: Arc::default(),
            names: Arc::default(),
            id,
            kind,
            capabilities: Capabilities {
                vision,
                ..Capabilities::default()
            },
            max_context: count(entry, "max_context_length"),
            size_bytes: None,
            context_bytes: None,
            quantization: text(entry, "quantization"),
            format: text(entry, "compatibility_type"),
            cloud: false,
            created: None,
            metadata: Arc::new(ModelMetadata {
                architecture: text(entry, "arch"),
                publisher: text(entry, "publisher"),
                ..ModelMetadata::default()
            }),
        });
    }
    listing
}

#[cfg(test)]
mod tests;
