//! An Ollama process that the benchmark starts, a new one for each environment.

use std::{path::Path, sync::Arc, time::Duration};

use crucible_config::checked;
use crucible_router::{
    catalog::{ModelKind, ResidentInfo},
    engine::ollama_recipe::{EnvironmentVariable, OllamaRecipe, of_a_child},
    engine::{self, Children, Engine},
};
use tokio::{sync::Mutex, time::timeout};

use super::api::OllamaApi;
use crate::bench::{driver::RunFailure, target::BenchTarget, variant::BenchSetting};

/// The recipe of the Ollama process, and the process that runs now, if there is one.
pub(super) struct OllamaChild {
    client: engine::Client,
    config: checked::EngineConfig,
    recipe: OllamaRecipe,
    model: Arc<str>,
    budget: Duration,
    running: Mutex<Option<StartedOllama>>,
}

struct StartedOllama {
    variables: Vec<(&'static str, String)>,
    server: Arc<dyn Engine>,
    api: Option<OllamaApi>,
}

/// Returns the environment variables that a setting needs. Ollama 0.33 reads them when it starts
/// (`envconfig/config.go`). A quantized cache needs flash attention, so it is switched on with it.
pub(super) fn variables(setting: &BenchSetting) -> Vec<(&'static str, String)> {
    let mut variables = vec![("OLLAMA_NUM_PARALLEL", setting.parallel.to_string())];
    let attention = setting.tuple.flash_attention;
    if let Some(on) = attention.or(setting.cache.map(|_| true)) {
        variables.push(("OLLAMA_FLASH_ATTENTION", u8::from(on).to_string()));
    }
    variables.extend(
        setting
            .cache
            .map(|cache| ("OLLAMA_KV_CACHE_TYPE", cache.to_owned())),
    );
    variables
}

// === impl OllamaChild ===

impl OllamaChild {
    /// Returns the child of an engine with `manage = "spawn"`, and `None` for any other.
    pub(super) fn of(target: &BenchTarget) -> Option<Self> {
        let recipe = of_a_child(&target.config, &target.engine, Path::new("/"))?;
        Some(Self {
            client: target.client(),
            config: target.engine.clone(),
            recipe,
            model: Arc::clone(&target.model.id),
            budget: target.config.timeouts.load,
            running: Mutex::new(None),
        })
    }

    /// Returns the API of an Ollama that runs with the environment of `setting`. One that runs with
    /// another environment is ended first.
    pub(super) async fn with(&self, setting: &BenchSetting) -> Result<OllamaApi, RunFailure> {
        let mut running = self.running.lock().await;
        let variables = variables(setting);
        if let Some(same) = running.as_ref().filter(|r| r.variables == variables)
            && let Some(api) = &same.api
        {
            return Ok(api.clone());
        }
        end(&mut running).await.map_err(RunFailure::Final)?;
        let mut recipe = self.recipe.clone();
        // The last one of a name counts.
        let set = variables.iter().map(|(name, value)| EnvironmentVariable {
            name: (*name).to_owned(),
            value: value.clone(),
            note: None,
        });
        recipe.variables.extend(set);
        let children = Arc::new(Children::unrecorded());
        let server = engine::build(
            &self.client,
            &self.config,
            None,
            Duration::ZERO,
            Some(recipe),
            None,
            &children,
        );
        let server = server.ok_or_else(|| RunFailure::Final("it cannot be started".to_owned()))?;
        let started = running.insert(StartedOllama {
            variables,
            server: Arc::clone(&server),
            api: None,
        });
        let late = || format!("it did not start within {} s", self.budget.as_secs());
        let listing = timeout(self.budget, server.list()).await;
        listing
            .map_err(|_| RunFailure::Final(late()))?
            .map_err(|e| RunFailure::Final(e.to_string()))?;
        let base = server.address();
        let base = base.ok_or_else(|| RunFailure::Final("it ended after its start".to_owned()))?;
        let api = OllamaApi::new(base, &self.model);
        started.api = Some(api.clone());
        Ok(api)
    }

    /// Ends the Ollama that runs, if there is one, and waits until it is gone.
    pub(super) async fn stop(&self) -> Result<(), String> {
        end(&mut *self.running.lock().await).await
    }
}

async fn end(running: &mut Option<StartedOllama>) -> Result<(), String> {
    let Some(StartedOllama { server, .. }) = running.take() else {
        return Ok(());
    };
    // No model at all is the server itself.
    let itself = ResidentInfo::named(Arc::from(""), ModelKind::Generation);
    server.unload(&itself).await.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use crucible_router::engine::LoadTuple;

    use super::*;

    #[test]
    fn a_setting_becomes_ollamas_environment() {
        let mut setting = BenchSetting::of(LoadTuple::default());
        let rendered = |setting: &BenchSetting| {
            let variables = variables(setting).into_iter();
            let words: Vec<String> = variables
                .map(|(name, value)| name.to_owned() + "=" + &value)
                .collect();
            words.join(" ")
        };
        assert_eq!(rendered(&setting), "OLLAMA_NUM_PARALLEL=1");
        setting.cache = Some("q8_0");
        setting.parallel = 4;
        assert_eq!(
            rendered(&setting),
            "OLLAMA_NUM_PARALLEL=4 OLLAMA_FLASH_ATTENTION=1 OLLAMA_KV_CACHE_TYPE=q8_0"
        );
        setting.tuple.flash_attention = Some(false);
        setting.cache = None;
        assert_eq!(
            rendered(&setting),
            "OLLAMA_NUM_PARALLEL=4 OLLAMA_FLASH_ATTENTION=0"
        );
    }
}
