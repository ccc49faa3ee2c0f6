//! `crucible models`: what the engines have, and what is loaded.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crucible_config::{Config, Live};
use crucible_router::{
    catalog::{ModelInfo, ModelKind},
    discovery,
    event::Silent,
    router::Router,
    state_dir::StateDir,
    view::View,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Common, Failure,
    output::{complain, say, table},
    pools,
    running::ask,
    serve::runtime,
    sources,
};
use crate::admin::state::{describe, device_word, health_word, kind_word};

/// Longest wait for the engines' lists.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn run(common: &Common, as_json: bool) -> Result<(), Failure> {
    let config = sources::load(common)?;
    let current = config.current();
    let runtime = runtime()?;
    let running = runtime.block_on(ask(&current, "/crucible/state"));
    let view = runtime.block_on(look(&config, async |router| router.view()))?;
    let from_instance = running.is_some();
    let state = running.unwrap_or_else(|| describe(&view));
    if as_json {
        let mut described = described(&view);
        described["instance"] = from_instance.into();
        described["pools"] = state["pools"].clone();
        described["queue"] = state["queue"].clone();
        say(&described.to_string());
    } else {
        say(&format!(
            "{}\n\n{}",
            readable(&view),
            pools::readable(&state)
        ));
        if !from_instance {
            say(
                "\nNo instance answered at the configured address: loads and waiters are not known.",
            );
        }
    }
    if view.any_up() {
        return Ok(());
    }
    for engine in &view.engines {
        if let Some(error) = &engine.error {
            complain(&format!("{}: {error}", engine.name));
        }
    }
    Err(Failure::wrong("no engine is up"))
}

/// Runs a router that only reads until every engine has told what it has, then asks it.
pub(super) async fn look<T>(
    config: &Live,
    question: impl AsyncFnOnce(&Router) -> T,
) -> Result<T, Failure> {
    look_as(config, (*config.current()).clone(), question).await
}

/// The same with this configuration instead of the one in force.
pub(super) async fn look_as<T>(
    config: &Live,
    mut source: Config,
    question: impl AsyncFnOnce(&Router) -> T,
) -> Result<T, Failure> {
    let tracker = TaskTracker::new();
    let cancel = CancellationToken::new();
    // Nothing is warmed, and what a running instance loaded stays its own.
    source.tuning.lmstudio.model_warmup = false;
    source.state_dir = PathBuf::new();
    let source = Arc::new(source);
    let router = Router::start(
        Arc::new(move || Arc::clone(&source)),
        Arc::new(StateDir::claim(Path::new(""))),
        config.subscribe(),
        // There an instance may run.
        discovery::places(Path::new("/"), &config.current().listen),
        Arc::new(Silent),
        &tracker,
        cancel.clone(),
    )
    .map_err(|e| Failure::wrong(e.to_string()))?;
    router.recall(&config.current().state_dir);
    router.recall_contexts(&config.current().state_dir);
    // What has not answered by then shows as unknown.
    let _ = timeout(LOOK, router.settled()).await;
    router.fresh_view();
    let answer = question(&router).await;
    cancel.cancel();
    tracker.close();
    let _ = timeout(LOOK, tracker.wait()).await;
    Ok(answer)
}

fn described(view: &View) -> Value {
    let models: Vec<Value> = view
        .engines
        .iter()
        .flat_map(|engine| engine.models.iter().map(move |model| (engine, model)))
        .map(|(engine, model)| {
            json!({
                "engine": engine.name,
                "model": model.id,
                "kind": kind(model),
                "size_bytes": model.size_bytes,
                "quantization": model.quantization,
                "max_context": model.max_context,
                "loaded": engine.holds(&model.id).is_some(),
                "context": engine.holds(&model.id).and_then(|r| r.info.context),
            })
        })
        .collect();
    let engines: Vec<Value> = view
        .engines
        .iter()
        .map(|engine| {
            json!({
                "name": engine.name,
                "kind": kind_word(engine.kind),
                "device": device_word(engine.device),
                "state": health_word(engine.health),
                "version": engine.version,
                "error": engine.error,
            })
        })
        .collect();
    json!({ "engines": engines, "models": models })
}

fn readable(view: &View) -> String {
    let mut rows = vec![
        ["engine", "model", "kind", "size", "quantization", "loaded"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for engine in &view.engines {
        for model in engine.models.iter() {
            let size = model
                .size_bytes
                .map(|bytes| bytesize::ByteSize(bytes).display().si().to_string());
            let loaded = engine
                .holds(&model.id)
                .map(|resident| match resident.info.context {
                    None => "yes".to_owned(),
                    Some(context) => format!("yes, context {context}"),
                });
            rows.push(vec![
                engine.name.to_string(),
                model.id.to_string(),
                kind(model).to_owned(),
                size.unwrap_or_default(),
                model.quantization.clone().unwrap_or_default(),
                loaded.unwrap_or_default(),
            ]);
        }
    }
    let engines: Vec<Vec<String>> = view
        .engines
        .iter()
        .map(|engine| {
            vec![
                engine.name.to_string(),
                kind_word(engine.kind).to_owned(),
                device_word(engine.device).to_owned(),
                health_word(engine.health).to_owned(),
                engine.version.clone().unwrap_or_default(),
            ]
        })
        .collect();
    format!("{}\n\n{}", table(&engines), table(&rows))
}

const fn kind(model: &ModelInfo) -> &'static str {
    match model.kind {
        ModelKind::Generation => "generation",
        ModelKind::Embedding => "embedding",
    }
}
