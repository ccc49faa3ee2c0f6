//! What is measured: an engine, one of its models, and what can be varied there.

use std::sync::Arc;

use crucible_config::{
    Config,
    checked::{Device, Engine, EngineKind, Manage},
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
use futures_util::future::BoxFuture;
use serde_json::Value;
use url::Url;

use super::{
    llamacpp, lmstudio, ollama, running,
    stats::Sample,
    tune::Axes,
    variant::{Fixed, Setting, Variant},
};
use crate::CommandFailure;

/// What is measured.
pub(super) struct Subject {
    pub(super) place: Place,
    pub(super) plan: Plan,
    pub(super) driver: Box<dyn Driver>,
}

/// An engine and one of its models.
pub(super) struct Place {
    pub(super) config: Arc<Config>,
    /// As the router sees it.
    pub(super) view: EngineView,
    /// As it is configured, or found.
    pub(super) engine: Engine,
    pub(super) model: ModelInfo,
}

/// What is compared on an engine, and what `--tune` searches.
pub(super) struct Plan {
    pub(super) variants: Vec<Variant>,
    pub(super) fixed: Vec<Fixed>,
    /// Where the search begins; its axes are empty where nothing can be searched.
    pub(super) profile: Setting,
    pub(super) axes: Axes,
}

/// Why a run gave no sample, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// The engine refuses this setting; others may do.
    Refused(String),
    /// Nothing more can be measured.
    Over(String),
}

/// An engine that can be measured. What it did not load itself it does not touch.
pub(super) trait Driver: Send + Sync {
    /// Loads the model as `setting` says and measures it; `run` makes the prompts unlike any
    /// other's.
    fn measure<'a>(
        &'a self,
        setting: &'a Setting,
        run: usize,
    ) -> BoxFuture<'a, Result<Sample, Missed>>;

    /// Unloads what was measured; also after a `measure` that was dropped half way.
    fn clear(&self) -> BoxFuture<'_, Result<(), String>>;

    /// What the engine is told of a setting.
    fn options(&self, setting: &Setting) -> Value;

    /// The engine's version, where it is told only while the model is loaded.
    fn version(&self) -> Option<String> {
        None
    }
}

// === impl Subject ===

impl Subject {
    /// Chooses engine and model; refuses what would take a model from somebody.
    pub(super) fn choose(
        config: Arc<Config>,
        name: Option<&str>,
        model: Option<&str>,
        view: &View,
    ) -> Result<Self, CommandFailure> {
        let (view, model) = measured(&config, (name, model), view)?;
        let view = view.clone();
        let configured = config.engine(&view.name).cloned();
        let engine = match (configured, view.url.parse()) {
            (Some(engine), _) => engine,
            (None, Ok(url)) => discovery::discovered(&config, view.kind, url),
            (None, Err(e)) => return Err(CommandFailure::wrong(format!("{}: {e}", view.name))),
        };
        let place = Place {
            config,
            view,
            engine,
            model,
        };
        place.leaves_all()?;
        place.is_managed()?;
        let (plan, driver): (Plan, Box<dyn Driver>) = match place.engine.kind {
            EngineKind::Ollama => (ollama::plan(&place), Box::new(ollama::Ollama::new(&place)?)),
            EngineKind::Lmstudio => (
                lmstudio::plan(&place),
                Box::new(lmstudio::Lmstudio::new(&place)),
            ),
            EngineKind::Llamacpp if place.engine.manage == Manage::Spawn => (
                llamacpp::plan(&place),
                Box::new(llamacpp::Llamacpp::new(&place)),
            ),
            EngineKind::Llamacpp | EngineKind::Openai => (
                running::plan(&place),
                Box::new(running::Running::new(&place)?),
            ),
        };
        Ok(Self {
            place,
            plan,
            driver,
        })
    }
}

// === impl Place ===

impl Place {
    /// The profile as Crucible applies it to this model, `parallel` left to the engine.
    pub(super) fn profile(&self) -> Setting {
        let (config, engine) = (&self.config, &self.engine);
        Setting::of(tuple_for(
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

    /// For what Crucible itself asks of the engine.
    pub(super) fn client(&self) -> engine::Client {
        engine::client(self.config.timeouts.connect)
    }

    /// Where the engine is.
    pub(super) fn address(&self) -> Result<EngineAddress, CommandFailure> {
        let wrong =
            |e: &dyn std::fmt::Display| CommandFailure::wrong(format!("{}: {e}", self.view.name));
        let mut url: Url = self.view.url.parse().map_err(|e| wrong(&e))?;
        if url.path().trim_end_matches('/') == "/v1" {
            url.set_path("/");
        }
        EngineAddress::new(url, self.engine.ca_file.as_ref()).map_err(|e| wrong(&e))
    }

    /// The engine's own token.
    pub(super) fn token(&self) -> Option<String> {
        engine::token_of(&self.engine)
    }

    /// Whether it runs without Crucible and bench only asks it.
    fn only_asked(&self) -> bool {
        match self.engine.kind {
            EngineKind::Ollama | EngineKind::Lmstudio => false,
            EngineKind::Llamacpp => self.engine.manage != Manage::Spawn,
            EngineKind::Openai => true,
        }
    }

    /// What is loaded is somebody's: it stays, and nothing is measured beside it.
    fn leaves_all(&self) -> Result<(), CommandFailure> {
        if self.only_asked() {
            return Ok(());
        }
        let Some(resident) = self.view.residents.first() else {
            return Ok(());
        };
        let name = &resident.info.instance;
        let unload = match self.engine.kind {
            EngineKind::Lmstudio => "lms unload",
            _ => "ollama stop",
        };
        Err(CommandFailure::wrong(format!(
            "{name} is loaded on {}: bench would evict it. Unload it yourself first \
             ({unload} {name})",
            self.view.name
        )))
    }

    /// Refuses where bench may not load, or cannot.
    fn is_managed(&self) -> Result<(), CommandFailure> {
        let name = &self.engine.name;
        match (self.engine.kind, self.engine.manage) {
            _ if self.only_asked() => Ok(()),
            (_, Manage::Observe) => Err(CommandFailure::wrong(format!(
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

/// The engine of that name; without one the first on which models can be loaded, else a
/// llama.cpp that runs. A plain OpenAI server may cost money, so it must be named.
fn chosen<'a>(
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
        .or_else(|| up().find(|engine| engine.kind != EngineKind::Openai))
        .ok_or_else(|| {
            CommandFailure::wrong(
                "no engine answers that bench would choose; --engine NAME names one",
            )
        })
}

/// The model of that name, which may be any that a request may use; without one the smallest.
fn measured<'a>(
    config: &Config,
    (engine, model): (Option<&str>, Option<&str>),
    view: &'a View,
) -> Result<(&'a EngineView, ModelInfo), CommandFailure> {
    let Some(name) = model else {
        let engine = chosen(engine, &view.engines)?;
        return Ok((engine, smallest(engine)?));
    };
    let only = engine.map(|engine| chosen(Some(engine), &view.engines));
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
    let places = plan.iter().flat_map(|plan| &plan.candidates);
    let mut places = places.filter_map(|place| {
        let engine = view.engine(&place.engine)?;
        let model = engine.models.iter().find(|m| m.id == place.model)?;
        let here = only.is_none_or(|only| only.name == engine.name);
        (here && !model.cloud).then(|| (engine, model.clone()))
    });
    places.next().ok_or_else(|| {
        let there = only.map_or("no engine", |engine| &*engine.name);
        CommandFailure::wrong(format!(
            "--model {name}: {there} has no such local model that generates"
        ))
    })
}

fn smallest(engine: &EngineView) -> Result<ModelInfo, CommandFailure> {
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
