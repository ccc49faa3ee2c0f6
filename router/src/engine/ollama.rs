//! Ollama's control side over its native API (source: Ollama 0.33, `server/routes.go`,
//! `server/sched.go`).
//!
//! A preload carries the whole tuple and the one `keep_alive`; requests never carry one, because
//! it can wedge Ollama's scheduler, and the preload's value sticks. Unloads are asynchronous
//! there, so they are confirmed in `/api/ps`. `/api/show` is asked once per digest; it tells which
//! names share a runner, so that a load or an unload of one is confirmed by any of them.

mod known;
mod parse;
mod runner;
mod runner_ports;

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use self::{
    known::PolledModels,
    parse::{
        ListedRunner, ModelDescription, digest, is_cloud, parse_ps, parse_show, same, tag_name,
    },
    runner_ports::RunnerPorts,
};
use super::{
    Engine, EngineError, Listing, LoadOrder, LoadTuple, backoff,
    http::{EngineEndpoint, items, text},
    slots::{self, SlotPrompt, SlotReading},
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    transport::EngineAddress,
};

/// The number of `/api/show` requests at a time.
const SHOW_PARALLEL: usize = 4;
/// The time for all `/api/show` requests of one poll; models that are missing follow with the next
/// poll.
const SHOW_BUDGET: Duration = Duration::from_secs(1);
/// The number of looks at `/api/ps` for a model that was just loaded.
const CONFIRM_TRIES: u32 = 6;

/// The driver of one Ollama: it lists, preloads and unloads models over its native API.
#[derive(Debug)]
pub(crate) struct Ollama {
    endpoint: EngineEndpoint,
    keep_alive: Duration,
    known: Mutex<PolledModels>,
    runner_ports: RunnerPorts,
}

/// Ollama's `options` of a tuple: the same map on the preload and on every request, or the model
/// is loaded again.
pub fn ollama_options(tuple: &LoadTuple) -> Map<String, Value> {
    let fields = [
        ("num_ctx", tuple.context.map(Value::from)),
        ("num_batch", tuple.batch.map(Value::from)),
        ("num_gpu", tuple.gpu_layers.map(Value::from)),
        ("num_thread", tuple.threads.map(Value::from)),
        ("use_mmap", tuple.mmap.map(Value::from)),
    ];
    fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

// === impl Ollama ===

impl Ollama {
    /// `keep_alive` is how long Ollama itself keeps an idle model that Crucible loaded.
    pub(crate) fn new(endpoint: EngineEndpoint, keep_alive: Duration) -> Self {
        Self {
            endpoint,
            keep_alive,
            known: Mutex::default(),
            runner_ports: RunnerPorts::default(),
        }
    }

    async fn poll(&self) -> Result<Listing, EngineError> {
        let (version, tags, ps) = futures_util::join!(
            self.endpoint.get("/api/version"),
            self.endpoint.get("/api/tags"),
            self.endpoint.get("/api/ps"),
        );
        let (tags, ps) = (tags?, ps?);
        if tags.get("models").is_none() {
            return Err(EngineError::Unexpected("/api/tags has no `models`".into()));
        }
        self.show_missing(items(&tags, "models"), items(&ps, "models"))
            .await;
        let models = self.known().models(items(&tags, "models"));
        let residents = self.named(parse_ps(&ps, &models));
        Ok(Listing {
            version: version.ok().and_then(|v| text(&v, "version")),
            models,
            residents,
            load_control: true,
            max_loaded: None,
        })
    }

    fn known(&self) -> MutexGuard<'_, PolledModels> {
        self.known.lock()
    }

    /// Residents by their runners.
    fn named(&self, told: Vec<ListedRunner>) -> Vec<ResidentInfo> {
        let known = self.known();
        told.into_iter().map(|told| known.resident(told)).collect()
    }

    /// Asks `/api/show` for digests not seen before. Never for cloud models: that may ask the
    /// cloud. What is loaded may have been deleted or replaced meanwhile, so it is remembered.
    async fn show_missing(&self, tags: &[Value], loaded: &[Value]) {
        let missing: Vec<(String, String)> = {
            let mut known = self.known();
            let present = tags.iter().chain(loaded).filter_map(digest);
            let present: HashSet<String> = present.collect();
            let PolledModels { shown, leads, .. } = &mut *known;
            shown.retain(|key, _| present.contains(key));
            let described = shown.iter();
            leads.keep(described.filter_map(|(key, s)| Some((key, s.described.as_ref()?))));
            let mut asked = HashSet::new();
            tags.iter()
                .filter_map(|tag| Some((digest(tag)?, tag_name(tag)?.to_string(), tag)))
                .filter(|(key, name, tag)| !shown.contains_key(key) && !is_cloud(name, tag))
                // Copies have one digest.
                .filter(|(key, ..)| asked.insert(key.clone()))
                .map(|(key, name, _)| (key, name))
                .collect()
        };
        let asked = stream::iter(missing)
            .map(|(key, model)| async move {
                let answer = self
                    .endpoint
                    .post("/api/show", &json!({"model": model}))
                    .await;
                match answer {
                    Ok(body) => Some((key, parse_show(&body))),
                    // It will not know better next time.
                    Err(EngineError::Refused { status, .. }) if status < 500 => {
                        Some((key, ModelDescription::default()))
                    }
                    Err(_) => None,
                }
            })
            .buffer_unordered(SHOW_PARALLEL)
            .for_each(|answer| async {
                if let Some((key, shown)) = answer {
                    self.known().shown.insert(key, shown);
                }
            });
        if timeout(SHOW_BUDGET, asked).await.is_err() {
            tracing::debug!("not all models described yet; the rest follows");
        }
    }

    async fn residents(&self) -> Result<Vec<ResidentInfo>, EngineError> {
        let told = parse_ps(&self.endpoint.get("/api/ps").await?, &[]);
        Ok(self.named(told))
    }

    async fn preload(&self, order: LoadOrder) -> Result<ResidentInfo, EngineError> {
        let options = ollama_options(&order.tuple);
        let keep_alive = self.keep_alive.as_secs();
        let (path, body) = match order.kind {
            ModelKind::Generation => (
                "/api/generate",
                json!({
                    "model": &*order.model, "prompt": "", "stream": false,
                    "keep_alive": keep_alive, "options": options,
                    "shift": false, "truncate": false,
                }),
            ),
            ModelKind::Embedding => (
                "/api/embed",
                json!({
                    "model": &*order.model, "input": [],
                    "keep_alive": keep_alive, "options": options, "truncate": false,
                }),
            ),
        };
        self.endpoint.post(path, &body).await?;
        let runner = self.known().runner_of(&order.model);
        for attempt in 0..CONFIRM_TRIES {
            let found = self.residents().await?;
            let own = |r: &ResidentInfo| r.model == runner || same(&r.instance, &order.model);
            if let Some(mut resident) = found.into_iter().find(own) {
                resident.model = runner;
                resident.kind = order.kind;
                return Ok(resident);
            }
            sleep(backoff(attempt)).await;
        }
        Err(EngineError::Unexpected(format!(
            "'{}' was loaded but /api/ps does not list it",
            order.model
        )))
    }

    /// Unloads a resident; a request by any name of its runner does.
    async fn expire(&self, resident: &ResidentInfo) -> Result<(), EngineError> {
        let names = self.known().names_of(resident);
        for name in names {
            // Without a prompt this path unloads embedding models too.
            let body = json!({"model": &*name, "stream": false, "keep_alive": 0});
            match self.endpoint.post("/api/generate", &body).await {
                Ok(_) => break,
                // Deleted meanwhile: what counts is whether it is still loaded.
                Err(EngineError::Refused { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let own =
            |r: &ResidentInfo| r.model == resident.model || same(&r.instance, &resident.instance);
        let mut attempt = 0;
        while self.residents().await?.iter().any(own) {
            sleep(backoff(attempt)).await;
            attempt += 1;
        }
        Ok(())
    }
}

impl Engine for Ollama {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(self.poll())
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(self.preload(order))
    }

    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.expire(resident))
    }

    fn processing<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(slots::of_runners("/".into(), &self.endpoint))
    }

    fn slot_readings(&self) -> BoxFuture<'_, Option<Vec<SlotReading>>> {
        Box::pin(self.runner_ports.read("/".into(), &self.endpoint))
    }

    fn prompts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<Vec<SlotPrompt>>> {
        Box::pin(async { Some(self.runner_ports.prompts("/".into(), &self.endpoint).await) })
    }

    fn address(&self) -> Option<EngineAddress> {
        Some(self.endpoint.address().clone())
    }
}

#[cfg(test)]
mod tests;
