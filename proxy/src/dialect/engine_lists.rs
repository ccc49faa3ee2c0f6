//! The documents in which the engines list and describe models, written from the models of all engines: the one
//! place that knows whose format each of them is.

use std::time::SystemTime;

use bytes::Bytes;
use crucible_router::{
    plan::Listed,
    view::{EngineView, View},
};
use serde_json::{Map, Value};

pub(crate) use super::{listed_model::ListedModel, measured_answer::MeasuredAnswer};
use super::{lmstudio, ollama::lists, openai::models as openai};

/// The paths of prompts whose whole answers say how they were made ([`with_facts`]).
pub(crate) const MEASURED_PATHS: [&str; 2] = [lmstudio::CHAT, lmstudio::COMPLETIONS];

/// A whole answer with the members that say how it was made, for a client of LM Studio's API v0.
pub(crate) fn with_facts(
    completion: &Bytes,
    measured: &MeasuredAnswer,
    listed: Option<&ListedModel<'_>>,
) -> Bytes {
    lmstudio::with_facts(completion, measured, listed)
}

/// Returns the answer of `GET /api/tags`: all models, as Ollama lists its own.
pub(crate) fn tags(models: &[ListedModel<'_>]) -> Value {
    lists::tags(models)
}

/// Ollama's description of a model. `basename` is its `general.basename`, for a client that shows that for the name;
/// `at_length` is what its own Ollama says of it in full.
pub(crate) fn show(
    listed: &ListedModel<'_>,
    basename: Option<&str>,
    at_length: Option<Map<String, Value>>,
) -> Value {
    lists::show(listed, basename, at_length)
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

/// One model of [`v1_list`], with OpenAI's members beside LM Studio's.
pub(crate) fn v1_one(listed: &ListedModel<'_>) -> Value {
    let engine = &listed.engine.name;
    lmstudio::v1_one(listed, openai::unlisted_model(listed.name, engine))
}

/// LM Studio's list of models, of its API v1, with OpenAI's or Anthropic's list beside it.
pub(crate) fn v1_list(
    models: &[ListedModel<'_>],
    listing: &[Listed],
    for_anthropic: bool,
) -> Value {
    lmstudio::v1_list(models, listing, for_anthropic)
}
