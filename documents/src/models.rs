//! The models of all engines and what is loaded: `models --json`.

use std::sync::Arc;

use crucible_config::checked::{Device, EngineKind};
use crucible_router::{catalog::ModelKind, view::Health};
use serde::{Deserialize, Serialize};

use crate::state::{EngineDoc, ModelDoc, PoolDoc, StateDoc, WaiterDoc};

/// The models of the engines, the loaded ones, and the requests that wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelsDoc {
    /// The engines, in the order of the state.
    pub engines: Vec<ListedEngineDoc>,
    /// The models of all engines, engine by engine.
    pub models: Vec<ListedModelDoc>,
    /// Whether a running instance said so; false where the engines were asked directly, and loads and
    /// waiters are not known.
    pub instance: bool,
    /// The pools of the state.
    pub pools: Vec<PoolDoc>,
    /// The waiting requests of the state.
    pub queue: Vec<WaiterDoc>,
}

/// An engine in the list of `crucible models`: its name, kind and whether it is up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedEngineDoc {
    /// The engine's name.
    pub name: Arc<str>,
    /// The kind of the engine.
    pub kind: EngineKind,
    /// The device that the engine computes on.
    pub device: Device,
    /// The health of the engine.
    pub state: Health,
    /// The version of the engine, where it reports one.
    pub version: Option<String>,
    /// The error of the last poll, in words.
    pub error: Option<String>,
}

/// A model in the list of `crucible models`, with what its engine tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedModelDoc {
    /// The engine's name.
    pub engine: Arc<str>,
    /// The engine's exact name for the model.
    pub model: Arc<str>,
    /// Whether it answers prompts or makes vectors.
    pub kind: ModelKind,
    /// The bytes of its weights.
    pub size_bytes: Option<u64>,
    /// The quantization of the model, such as `Q4_K_M`.
    pub quantization: Option<String>,
    /// The longest context that it was trained for, in tokens.
    pub max_context: Option<u64>,
    /// Whether it is loaded, by whatever name.
    pub loaded: bool,
    /// The tokens of context that it is loaded with.
    pub context: Option<u64>,
}

// === impl ModelsDoc ===

impl ModelsDoc {
    /// The list that a state tells; `instance` says whose state it is.
    pub fn of(state: &StateDoc, instance: bool) -> Self {
        let engines = state.engines.iter();
        let models = state.engines.iter().flat_map(|engine| {
            let listed = engine.catalog.iter();
            listed.map(|model| ListedModelDoc::of(state, engine, model))
        });
        Self {
            engines: engines.map(ListedEngineDoc::of).collect(),
            models: models.collect(),
            instance,
            pools: state.pools.clone(),
            queue: state.queue.clone(),
        }
    }
}

// === impl ListedEngineDoc ===

impl ListedEngineDoc {
    fn of(engine: &EngineDoc) -> Self {
        Self {
            name: Arc::clone(&engine.name),
            kind: engine.kind,
            device: engine.device,
            state: engine.state,
            version: engine.version.clone(),
            error: engine.error.clone(),
        }
    }
}

// === impl ListedModelDoc ===

impl ListedModelDoc {
    fn of(state: &StateDoc, engine: &EngineDoc, model: &ModelDoc) -> Self {
        let resident = state.resident(&engine.name, &model.model);
        Self {
            engine: Arc::clone(&engine.name),
            model: Arc::clone(&model.model),
            kind: model.kind,
            size_bytes: model.size_bytes,
            quantization: model.quantization.clone(),
            max_context: model.max_context,
            loaded: resident.is_some(),
            context: resident.and_then(|resident| resident.context),
        }
    }
}
