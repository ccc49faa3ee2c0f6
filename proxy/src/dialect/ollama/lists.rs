//! The lists and descriptions of Ollama's API (0.33, `api/types.go`): `/api/tags`, `/api/show`, `/api/ps`,
//! `/api/version`, over the models of all engines.
//!
//! What an Ollama says of its models is repeated. The others have the same members, since clients read them
//! without asking whether they are there: texts are never null, a digest has 64 digits (`ollama list` cuts it),
//! and a time that nobody knows is the beginning of the epoch.

mod facts;
mod show;

use std::time::{Duration, SystemTime};

use crucible_config::checked::EngineKind;
use crucible_router::{
    options::request_context,
    versions::EngineVersion,
    view::{EngineView, ResidentView, View},
};
use humantime::format_rfc3339_seconds;
use serde_json::{Value, json};

use self::facts::{capabilities, details, digest, made_up_digest, modified_at};
pub(crate) use self::show::show;
use crate::dialect::listed_model::ListedModel;

/// The version whose API is served. Clients demand at least 0.13.4 (Codex).
const VERSION: &str = "0.33.0";

/// Time after which an instance that nothing unloads is said to go: Ollama's own word for "never" is a time
/// that is centuries ahead.
const NEVER: Duration = Duration::from_secs(200 * 365 * 24 * 60 * 60);

/// Returns the list of models. A name with the tag `latest` stands there without it too: clients look for
/// the name that a person typed.
pub(crate) fn tags(models: &[ListedModel<'_>]) -> Value {
    let mut entries = Vec::with_capacity(models.len());
    for listed in models {
        entries.push(tag(listed));
        let bare = listed.name.strip_suffix(":latest");
        let is_new = |bare: &&str| models.iter().all(|other| other.name != *bare);
        if let Some(name) = bare.filter(|name| !name.is_empty()).filter(is_new) {
            entries.push(tag(&ListedModel { name, ..*listed }));
        }
    }
    json!({ "models": entries })
}

fn tag(listed: &ListedModel<'_>) -> Value {
    let mut details = details(listed);
    if let Some(context) = listed.context {
        details["context_length"] = json!(context);
    }
    json!({
        "name": listed.name,
        "model": listed.name,
        "modified_at": modified_at(listed),
        "size": listed.model.size_bytes.unwrap_or(0),
        "digest": digest(listed),
        "details": details,
        "capabilities": capabilities(listed),
    })
}

/// Returns the loaded models of all engines that are up, those that stay longest first. `names` gives the
/// name of a model in the list.
pub(crate) fn processes(
    view: &View,
    now: SystemTime,
    names: impl Fn(&EngineView, &str) -> String,
) -> Value {
    let engines = view.engines.iter().filter(|engine| engine.is_up());
    let residents = engines.flat_map(|engine| engine.residents.iter().map(move |r| (engine, r)));
    let mut all: Vec<(SystemTime, Value)> = residents
        .map(|(engine, resident)| {
            let expires = expires_at(engine, resident, now);
            (expires, process(engine, resident, expires, &names))
        })
        .collect();
    all.sort_by_key(|(expires, _)| std::cmp::Reverse(*expires));
    let models: Vec<Value> = all.into_iter().map(|(_, entry)| entry).collect();
    json!({ "models": models })
}

fn process(
    engine: &EngineView,
    resident: &ResidentView,
    expires: SystemTime,
    names: impl Fn(&EngineView, &str) -> String,
) -> Value {
    let info = &resident.info;
    let own = info.name(engine.kind);
    let name = names(engine, own);
    let known = engine.models.iter().find(|model| model.id == *own);
    let listed = known.map(|model| ListedModel {
        name: &name,
        engine,
        model,
        context: None,
    });
    let weights = known.and_then(|model| model.size_bytes);
    let size = info.bytes.or(weights).unwrap_or(0);
    let is_on_gpu = engine.device == crucible_config::checked::Device::Gpu;
    let on_gpu = info.vram_bytes.unwrap_or(if is_on_gpu { size } else { 0 });
    json!({
        "name": name,
        "model": name,
        "size": size,
        "digest": listed.as_ref().map_or_else(|| made_up_digest(&name), digest),
        "details": listed.as_ref().map_or_else(|| json!({}), details),
        "expires_at": format_rfc3339_seconds(expires).to_string(),
        "size_vram": on_gpu,
        "context_length": request_context(engine.kind, info).unwrap_or(0),
    })
}

/// The time at which the engine, or Crucible, unloads an instance that is not used.
fn expires_at(engine: &EngineView, resident: &ResidentView, now: SystemTime) -> SystemTime {
    let by_crucible = engine.ttl.filter(|_| resident.owned && !resident.pinned);
    let left = by_crucible.map(|ttl| ttl.saturating_sub(resident.idle));
    let by_crucible = left.and_then(|left| now.checked_add(left));
    let soonest = match (resident.info.expires_at, by_crucible) {
        (Some(engines), Some(own)) => Some(engines.min(own)),
        (engines, own) => engines.or(own),
    };
    soonest.or_else(|| now.checked_add(NEVER)).unwrap_or(now)
}

/// Returns the version: that of the newest Ollama that is up, where it is newer than the one whose API is
/// served.
pub(crate) fn version(view: &View) -> Value {
    let engines = view
        .engines
        .iter()
        .filter(|engine| engine.kind == EngineKind::Ollama);
    let told = engines
        .filter(|engine| engine.is_up())
        .filter_map(|e| e.version.as_deref());
    let newest = told
        .chain([VERSION])
        .filter_map(|text| Some((EngineVersion::parse(text)?, text)))
        .max_by_key(|(version, _)| *version);
    json!({ "version": newest.map_or(VERSION, |(_, text)| text) })
}
