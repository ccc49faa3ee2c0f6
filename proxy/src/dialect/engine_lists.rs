//! The documents in which the engines list and describe models, written from the models of all engines: the one
//! place that knows whose format each of them is.

use std::time::SystemTime;

use crucible_router::{
    plan::Listed,
    view::{EngineView, View},
};
use serde_json::Value;

pub(crate) use super::listed_model::ListedModel;
use super::{lmstudio, ollama::lists};

/// Ollama's list of models.
pub(crate) fn tags(models: &[ListedModel<'_>]) -> Value {
    lists::tags(models)
}

/// Ollama's description of a model. `basename` is its `general.basename`, for a client that shows that for the name.
pub(crate) fn show(listed: &ListedModel<'_>, basename: Option<&str>) -> Value {
    lists::show(listed, basename)
}

/// Ollama's list of what is loaded; `names` gives the name of an engine's model in the list of models.
pub(crate) fn processes(
    view: &View,
    now: SystemTime,
    names: impl Fn(&EngineView, &str) -> String,
) -> Value {
    lists::processes(view, now, names)
}

/// The version that is told to clients of Ollama.
pub(crate) fn version(view: &View) -> Value {
    lists::version(view)
}

/// LM Studio's list of models, of its API v0.
pub(crate) fn v0_list(models: &[ListedModel<'_>]) -> Value {
    lmstudio::v0_list(models)
}

/// One model of [`v0_list`].
pub(crate) fn v0_entry(listed: &ListedModel<'_>) -> Value {
    lmstudio::v0_entry(listed)
}

/// LM Studio's list of models, of its API v1, with OpenAI's or Anthropic's list beside it.
pub(crate) fn v1_list(
    models: &[ListedModel<'_>],
    listing: &[Listed],
    for_anthropic: bool,
) -> Value {
    lmstudio::v1_list(models, listing, for_anthropic)
}
