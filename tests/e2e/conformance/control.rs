//! Listing, loading and unloading, through Crucible's own control side.

use std::time::{Duration, SystemTime};

use crucible_config::checked::EngineKind;
use crucible_router::{
    catalog::ResidentInfo,
    engine::{Engine, Listing, LoadTuple, ollama_options},
};
use crucible_tests::{
    chat::{post, stream},
    engines::client,
    process::PATIENCE,
    target::{CONTEXT, KEEP, Target},
};
use serde_json::json;
use tokio::time::timeout;

use super::ask;

async fn list(driver: &dyn Engine) -> Listing {
    timeout(PATIENCE, driver.list())
        .await
        .expect("a listing in time")
        .expect("a listing")
}

async fn resident(target: &Target, driver: &dyn Engine) -> Option<ResidentInfo> {
    let listing = list(driver).await;
    let mut residents = listing.residents.into_iter();
    residents.find(|r| target.is(r.name(target.kind)))
}

async fn load(target: &Target, driver: &dyn Engine, tuple: LoadTuple) -> ResidentInfo {
    timeout(PATIENCE, driver.load(target.order(tuple)))
        .await
        .expect("a load in time")
        .expect("a load")
}

pub(super) async fn it_lists_models_and_version(target: &Target) {
    let driver = target.driver();
    if target.url.is_none() {
        load(target, &*driver, target.tuple().await).await;
    }
    let listing = list(&*driver).await;
    let model = listing.models.iter().find(|m| target.is(&m.id));
    let model = model.unwrap_or_else(|| panic!("its model is listed: {listing:?}"));
    // A plain OpenAI server tells neither version nor context.
    if target.kind != EngineKind::Openai {
        assert!(model.max_context >= Some(CONTEXT), "{model:?}");
    }
    if matches!(target.kind, EngineKind::Ollama | EngineKind::Llamacpp) {
        let version = listing.version.expect("a version");
        assert!(version.chars().any(|c| c.is_ascii_digit()), "{version}");
    }
    if target.kind == EngineKind::Ollama {
        assert_eq!(model.capabilities.tools, Some(false), "{model:?}");
        assert_eq!(model.capabilities.thinking, Some(false), "{model:?}");
        assert!(model.size_bytes > Some(1_000_000), "{model:?}");
        assert!(
            model.quantization.is_some() && model.format.is_some(),
            "{model:?}"
        );
        assert!(model.created.is_some() && !model.cloud, "{model:?}");
    }
}

pub(super) async fn a_load_has_the_context_that_was_asked_for(target: &Target) {
    let driver = target.driver();
    let loaded = load(target, &*driver, target.tuple().await).await;
    assert_eq!(loaded.context, Some(CONTEXT), "{loaded:?}");
    let listed = resident(target, &*driver).await.expect("it is resident");
    assert_eq!(listed.context, Some(CONTEXT), "{listed:?}");
    if target.kind == EngineKind::Ollama {
        let left = listed.expires_at.expect("it says until when");
        let left = left.duration_since(SystemTime::now()).expect("in future");
        assert!(left > KEEP / 2 && left <= KEEP, "{left:?}");
        assert!(listed.bytes > Some(1_000_000), "{listed:?}");
        assert!(listed.vram_bytes.is_some(), "{listed:?}");
    }
}

pub(super) async fn an_unload_is_confirmed(target: &Target) {
    let driver = target.driver();
    let loaded = load(target, &*driver, target.tuple().await).await;
    for _ in 0..2 {
        // The second time it is gone already, which is no error.
        timeout(PATIENCE, driver.unload(&loaded))
            .await
            .expect("an unload in time")
            .expect("an unload");
        assert_eq!(resident(target, &*driver).await, None);
    }
}

pub(super) async fn nothing_is_loaded_twice(target: &Target) {
    let crucible = target.crucible().await;
    for _ in 0..2 {
        let answer = post(&crucible, &ask(target, "repeat 3")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let (_, answer) = stream(&crucible, &ask(target, "repeat 3")).await;
    assert!(answer.done, "{}", answer.text);
    if target.kind == EngineKind::Ollama {
        // A preload without `keep_alive`: had it, or an answer before it, loaded the model anew,
        // Ollama's own 5 minutes would count instead of Crucible's 47. Another name over the same
        // weights may have brought a larger context.
        let held = resident(target, &*target.driver()).await;
        let context = held.and_then(|resident| resident.context);
        assert!(context >= Some(CONTEXT), "{context:?}");
        let tuple = LoadTuple {
            context,
            ..target.tuple().await
        };
        let preload = json!({
            "model": target.model, "prompt": "", "stream": false,
            "options": ollama_options(&tuple), "shift": false, "truncate": false,
        });
        let url = format!("{}/api/generate", target.url.as_deref().expect("a URL"));
        let answer = client().post(url).json(&preload).send().await;
        assert!(answer.expect("an answer").status().is_success());
        check_loads(target);
        let left = time_left(target).await;
        assert!(left > KEEP / 2, "loaded again: {left:?} left");
    }
    check_loads(target);
}

/// The simulator knows what it loaded.
fn check_loads(target: &Target) {
    if let Some(sim) = &target.sim {
        let log = sim.log();
        assert_eq!(log.loads.len(), 1, "{:?}", log.loads);
        assert!(log.reloads.is_empty(), "{:?}", log.reloads);
    }
}

/// How long the engine will keep the target's model.
pub(super) async fn time_left(target: &Target) -> Duration {
    let resident = resident(target, &*target.driver()).await;
    let until = resident.and_then(|r| r.expires_at).expect("a resident");
    until.duration_since(SystemTime::now()).unwrap_or_default()
}
