//! A name that requests may use, with the model behind it: what the lists in the engines' own formats are
//! written from.

use std::sync::Arc;

use crucible_config::checked::EngineKind;
use crucible_router::{
    catalog::{ModelInfo, ModelKind},
    view::{EngineView, ResidentView},
};
use serde_json::{Map, Value};

/// A name of the list of models, and the model that describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedModel<'a> {
    /// The name that a request may use.
    pub(crate) name: &'a str,
    /// The engine that has the model.
    pub(crate) engine: &'a EngineView,
    /// The model, as its engine describes it.
    pub(crate) model: &'a ModelInfo,
    /// The most tokens that prompt and answer of a request can have together, loaded or not; `None` where
    /// nobody tells.
    pub(crate) context: Option<u64>,
}

// === impl ListedModel ===

impl<'a> ListedModel<'a> {
    /// The instances that answer for the model, under whichever name they were loaded.
    pub(crate) fn residents(&self) -> impl Iterator<Item = &'a ResidentView> {
        let runner = &self.model.runner;
        let all = self.engine.residents.iter();
        all.filter(move |resident| resident.info.model == *runner)
    }

    /// Whether the model is being loaded now.
    pub(crate) fn is_loading(&self) -> bool {
        let loading = self.engine.loading.as_ref();
        loading.is_some_and(|loading| loading.model == self.model.id)
    }

    /// Whether the model makes vectors.
    pub(crate) fn embeds(&self) -> bool {
        self.model.kind == ModelKind::Embedding
    }

    /// Whether tools may be offered to the model: unless its engine says that it takes none.
    pub(crate) fn takes_tools(&self) -> bool {
        !self.embeds() && self.model.capabilities.tools != Some(false)
    }

    /// The architecture, such as `llama`; `unknown` where the engine does not tell.
    pub(crate) fn architecture(&self) -> &'a str {
        let metadata = &self.model.metadata;
        metadata.architecture.as_deref().unwrap_or("unknown")
    }

    /// The account that published the model: as its engine says, else the part of its name before the
    /// slash, else the engine.
    pub(crate) fn publisher(&self) -> &'a str {
        let told = self.model.metadata.publisher.as_deref();
        let named = || self.model.id.split_once('/').map(|(owner, _)| owner);
        let owner = told.or_else(named).filter(|owner| !owner.is_empty());
        owner.unwrap_or(&self.engine.name)
    }

    /// Whether the weights are in MLX's format; all others run in llama.cpp, or say nothing.
    pub(crate) fn is_mlx(&self) -> bool {
        let format = self.model.format.as_deref();
        matches!(format, Some("mlx" | "safetensors"))
    }

    /// The engine's own description of the model, where the engine is of this kind.
    pub(crate) fn described_by(&self, kind: EngineKind) -> Option<&'a Arc<Map<String, Value>>> {
        let description = self.model.metadata.description.as_ref();
        description.filter(|_| self.engine.kind == kind)
    }
}
