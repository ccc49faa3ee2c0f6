//! The engine and the model that a benchmark measures, and the choice of both.

use std::sync::Arc;

use crucible_config::{
    Config,
    checked::{Device, EngineConfig, Manage},
    name::after_engine,
};
use crucible_router::{
    catalog::{ModelInfo, ModelKind},
    demand::Demand,
    discovery,
    engine::{self, tuple_for},
    machine::physical_cores,
    plan,
    transport::EngineAddress,
    view::{EngineView, View},
};
use url::Url;

use super::variant::BenchSetting;
use crate::CommandFailure;

/// An engine and the one of its models that is measured.
pub(super) struct BenchTarget {
    /// The configuration in force, from which the settings of a load are taken.
    pub(super) config: Arc<Config>,
    /// The engine as the router sees it.
    pub(super) view: EngineView,
    /// The engine's configured block, or the one that discovery makes for it.
    pub(super) engine: EngineConfig,
    /// The model that is measured, as the engine lists it.
    pub(super) model: ModelInfo,
}

// === impl BenchTarget ===

impl BenchTarget {
    /// Chooses the engine and the model to measure. `name` and `model` narrow the choice; without a
    /// model it is the engine's smallest that generates text.
    ///
    /// # Errors
    ///
    /// No engine or model fits; or the benchmark would load models on the engine itself, and any
    /// model is loaded there already, or Crucible may not (`manage = "observe"`) or cannot load
    /// there.
    pub(super) fn choose(
        config: Arc<Config>,
        name: Option<&str>,
        model: Option<&str>,
        view: &View,
    ) -> Result<Self, CommandFailure> {
        let (view, model) = engine_and_model(&config, (name, model), view)?;
        let view = view.clone();
        let configured = config.engine(&view.name).cloned();
        let engine = match (configured, view.url.parse()) {
            (Some(engine), _) => engine,
            (None, Ok(url)) => discovery::discovered(&config, view.kind, url),
            (None, Err(e)) => return Err(CommandFailure::wrong(format!("{}: {e}", view.name))),
        };
        let target = Self {
            config,
            view,
            engine,
            model,
        };
        target.check_nothing_loaded()?;
        target.check_loadable()?;
        Ok(target)
    }

    /// Returns the settings that the configured profile gives this model, for one request at a time.
    pub(super) fn profile(&self) -> BenchSetting {
        let (config, engine) = (&self.config, &self.engine);
        BenchSetting::of(tuple_for(
            engine.kind,
            &config.tuning,
            config
                .context_for(engine, &self.model.id, None, self.model.described_context())
                .value,
            ModelKind::Generation,
            self.view.device == Device::Cpu,
            physical_cores(),
            self.model.max_context,
        ))
    }

    /// Returns the client that sends Crucible's own requests, such as loads, to the engine.
    pub(super) fn client(&self) -> engine::Client {
        engine::client(self.config.timeouts.connect)
    }

    /// Returns the engine's address without a trailing `/v1`.
    pub(super) fn address(&self) -> Result<EngineAddress, CommandFailure> {
        let wrong =
            |e: &dyn std::fmt::Display| CommandFailure::wrong(format!("{}: {e}", self.view.name));
        let mut url: Url = self.view.url.parse().map_err(|e| wrong(&e))?;
        if url.path().trim_end_matches('/') == "/v1" {
            url.set_path("/");
        }
        EngineAddress::new(url, self.engine.ca_file.as_ref()).map_err(|e| wrong(&e))
    }

    /// Returns the engine's API key from the variable that its block names.
    pub(super) fn token(&self) -> Option<String> {
        engine::token_of(&self.engine)
    }

    /// Returns whether the engine runs without Crucible, so that it is measured as it is.
    fn is_unmanaged(&self) -> bool {
        let profile = self.engine.kind.profile();
        let only_as_child = profile.spawn.is_some_and(|spawn| spawn.needs_model_file);
        !profile.loads() || only_as_child && self.engine.manage != Manage::Spawn
    }

    /// Refuses an engine on which a model is loaded: a run would evict it.
    fn check_nothing_loaded(&self) -> Result<(), CommandFailure> {
        if self.is_unmanaged() {
            return Ok(());
        }
        let Some(resident) = self.view.residents.first() else {
            return Ok(());
        };
        let name = &resident.info.instance;
        let advice = self.engine.kind.profile().advice.unload;
        Err(CommandFailure::wrong(format!(
            "{name} is loaded on {}: bench would evict it. First {}",
            self.view.name,
            advice.replace("{instance}", name)
        )))
    }

    /// Refuses an engine on which Crucible may not load (`manage = "observe"`) or cannot.
    fn check_loadable(&self) -> Result<(), CommandFailure> {
        let name = &self.engine.name;
        match self.engine.manage {
            _ if self.is_unmanaged() => Ok(()),
            Manage::Observe => Err(CommandFailure::wrong(format!(
                "{name} has manage = \"observe\", and bench would load and unload there: measure \
                 it with manage = \"models\""
            ))),
            _ if !self.view.load_control => Err(CommandFailure::wrong(format!(
                "{name} has no API that loads a model (LM Studio has one since 0.4)"
            ))),
            _ => Ok(()),
        }
    }
}

/// Returns the engine called `name`. Without a name it is the first on which models can be loaded,
/// else the first llama.cpp server that runs. A plain OpenAI server may cost money, so it is measured
/// only where it is named.
fn chosen_engine<'a>(
    name: Option<&str>,
    engines: &'a [EngineView],
) -> Result<&'a EngineView, CommandFailure> {
    let up = || engines.iter().filter(|engine| engine.is_up());
    if let Some(name) = name {
        return up()
            .find(|engine| engine.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                CommandFailure::wrong(format!("--engine {name}: no such engine answers"))
            });
    }
    up().find(|engine| engine.load_control)
        .or_else(|| up().find(|engine| engine.kind.profile().runs_locally))
        .ok_or_else(|| {
            CommandFailure::wrong(
                "no engine answers that bench would choose; --engine NAME names one",
            )
        })
}

/// Returns the engine and the model. The model's name may be any that a request may use; without one
/// it is the engine's smallest.
fn engine_and_model<'a>(
    config: &Config,
    (engine, model): (Option<&str>, Option<&str>),
    view: &'a View,
) -> Result<(&'a EngineView, ModelInfo), CommandFailure> {
    let Some(name) = model else {
        let engine = chosen_engine(engine, &view.engines)?;
        return Ok((engine, smallest_model(engine)?));
    };
    let only = engine.map(|engine| chosen_engine(Some(engine), &view.engines));
    let only = only.transpose()?;
    let demand = Demand {
        model: match only {
            Some(engine) if after_engine(name, &engine.name).is_none() => {
                format!("{}/{name}", engine.name)
            }
            _ => name.to_owned(),
        },
        ..Demand::default()
    };
    let plan = plan::plan(view, &demand, config, None);
    let candidates = plan.iter().flat_map(|plan| &plan.candidates);
    let mut candidates = candidates.filter_map(|candidate| {
        let engine = view.engine(&candidate.engine)?;
        let model = engine.models.iter().find(|m| m.id == candidate.model)?;
        let here = only.is_none_or(|only| only.name == engine.name);
        (here && !model.cloud).then(|| (engine, model.clone()))
    });
    candidates.next().ok_or_else(|| {
        let there = only.map_or("no engine", |engine| &*engine.name);
        CommandFailure::wrong(format!(
            "--model {name}: {there} has no such local model that generates"
        ))
    })
}

/// Returns the smallest local model that generates text; a model of unknown size counts as largest.
fn smallest_model(engine: &EngineView) -> Result<ModelInfo, CommandFailure> {
    engine
        .models
        .iter()
        .filter(|model| model.kind == ModelKind::Generation && !model.cloud)
        .min_by_key(|model| model.size_bytes.unwrap_or(u64::MAX))
        .cloned()
        .ok_or_else(|| {
            CommandFailure::wrong(format!("{} has no model that generates", engine.name))
        })
}
