//! The gathering of evidence from engines, files and the system.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use crucible_config::{Config, checked::EngineKind};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    engine_access::{endpoint, token},
    evidence::{Counters, Evidence, Probes, ReportedInstances},
    probe,
};
use crate::{
    catalog::ModelKind,
    engine::{self, EngineError},
    machine::{
        Readable, hardware,
        local::local_port,
        ollama_process::{self, OllamaProcess},
    },
    view::{EngineView, View},
};

/// The longest wait for the answers of each engine: a machine that computes answers takes its time for them.
const BUDGET: Duration = Duration::from_secs(2);

/// Reads all that the checks look at; what cannot be read is noted with its reason. `root` is the
/// root of the file system (`/`, or another folder in tests), and `counters` are those of the
/// running instance.
pub async fn gather(
    root: &Path,
    config: Arc<Config>,
    view: Arc<View>,
    counters: Option<Counters>,
    probes: Probes,
) -> Evidence {
    let up = view
        .engines
        .iter()
        .filter(|e| e.kind == EngineKind::Lmstudio && e.is_up());
    let lists = up
        .clone()
        .map(|engine| in_time(engine, listed(&config, engine)));
    let reported = up
        .filter(|engine| driven(&config, engine))
        .map(|engine| in_time(engine, reported(&config, engine)));
    let ports: Vec<(Arc<str>, Readable<u16>)> = view
        .engines
        .iter()
        .filter(|e| e.kind == EngineKind::Ollama)
        .map(|e| (Arc::clone(&e.name), local_port(&e.url)))
        .collect();
    let (below, state_dir) = (root.to_owned(), config.state_dir.clone());
    let files = tokio::task::spawn_blocking(move || {
        let processes: HashMap<_, _> = ports
            .into_iter()
            .map(|(name, port)| {
                (
                    name,
                    port.and_then(|port| ollama_process::find(&below, port)),
                )
            })
            .collect();
        let contexts = probe::context::load(&state_dir);
        (hardware::read(&below), processes, contexts)
    });
    let (listed, reported, files) = futures_util::join!(join_all(lists), join_all(reported), files);
    // It ends early only if it panics or the runtime ends.
    let (machine, processes, contexts): (_, HashMap<Arc<str>, Readable<OllamaProcess>>, _) =
        files.unwrap_or_default();
    Evidence {
        listed: listed.into_iter().collect(),
        reported: reported.into_iter().collect(),
        config,
        view,
        counters,
        machine,
        processes,
        probes,
        contexts,
    }
}

/// Waits for what an engine answers, for [`BUDGET`] at most.
async fn in_time<T>(
    engine: &EngineView,
    answer: impl Future<Output = Result<T, EngineError>>,
) -> (Arc<str>, Result<T, String>) {
    let answer = timeout(BUDGET, answer).await;
    let answer = answer.unwrap_or(Err(EngineError::Timeout));
    (Arc::clone(&engine.name), answer.map_err(|e| e.to_string()))
}

async fn listed(config: &Config, engine: &EngineView) -> Result<Vec<String>, EngineError> {
    let body = endpoint(config, engine)?.get("/v1/models").await?;
    let data = body.get("data").and_then(Value::as_array);
    let ids = data
        .ok_or_else(|| EngineError::Unexpected("/v1/models has no `data`".into()))?
        .iter()
        .filter_map(|m| m.get("id")?.as_str().map(str::to_owned));
    Ok(ids.collect())
}

fn driven(config: &Config, engine: &EngineView) -> bool {
    config.engine(&engine.name).is_some_and(|e| e.websocket)
}

/// Embedding models have another namespace and none of these settings.
async fn reported(config: &Config, engine: &EngineView) -> Result<ReportedInstances, EngineError> {
    let held: Vec<Arc<str>> = engine
        .residents
        .iter()
        .filter(|r| r.info.kind == ModelKind::Generation)
        .map(|r| Arc::clone(&r.info.instance))
        .collect();
    if held.is_empty() {
        return Ok(ReportedInstances::new());
    }
    let endpoint = endpoint(config, engine)?;
    engine::instance_facts(&endpoint, token(config, engine).as_deref(), &held).await
}
