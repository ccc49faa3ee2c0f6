//! What `GET /v1/models` lists.
//!
//! Models in the engines' order, then literal aliases and virtual models in the configuration's
//! order; no globs, and nothing that could not be answered now.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crucible_config::{Config, glob};

use super::{
    BUILTIN_VIRTUAL,
    names::{Found, Scope, virtual_name},
    order::is_available,
};
use crate::{catalog::ModelKind, demand::Demand, view::View};

/// One listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What to ask for.
    pub id: Arc<str>,
    /// Unix seconds, 0 where unknown.
    pub created: i64,
    /// The engine, or `crucible` for aliases and virtual models.
    pub owned_by: Arc<str>,
}

/// Each bare name once, `engine/name` where it is ambiguous, literal aliases, usable virtual
/// models; no globs.
pub fn listing(view: &View, config: &Config) -> Vec<Listed> {
    let generation = Demand::default();
    let embedding = Demand {
        kind: ModelKind::Embedding,
        ..Demand::default()
    };
    let scopes = [&generation, &embedding].map(|demand| Scope {
        view,
        demand,
        config,
    });
    let models: Vec<_> = scopes[0]
        .models()
        .filter(|(engine, _)| engine.is_up())
        .collect();
    let mut engines_with: HashMap<&str, u32> = HashMap::new();
    for (_, model) in &models {
        *engines_with.entry(&model.id).or_default() += 1;
    }
    let mut listed = Vec::with_capacity(models.len());
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut list = |id: Arc<str>, created: Option<i64>, owned_by: Arc<str>| {
        if seen.insert(Arc::clone(&id)) {
            listed.push(Listed {
                id,
                created: created.unwrap_or_default(),
                owned_by,
            });
        }
    };
    for (engine, model) in models {
        list(Arc::clone(&model.id), model.created, engine.name.clone());
        if engines_with.get(&*model.id).is_some_and(|n| *n > 1) {
            let id = format!("{}/{}", engine.name, model.id);
            list(id.into(), model.created, engine.name.clone());
        }
    }
    let is_usable = |name: &str| {
        scopes.iter().any(|scope| {
            let hits = match scope.resolve(name) {
                Found::Models(hits) => hits,
                Found::Virtual(known) => scope.expand(known),
                Found::WrongKind | Found::Away(_) | Found::Absent => return false,
            };
            hits.iter()
                .any(|hit| is_available(hit.engine) && hit.engine.is_up())
        })
    };
    let aliases = config.models.iter().flat_map(|model| &model.aliases);
    let names = aliases
        .filter(|alias| !glob::is_glob(alias))
        .map(String::as_str)
        .chain(BUILTIN_VIRTUAL.map(|name| virtual_name(name, config).unwrap_or(name)))
        .chain(config.virtual_models.keys().map(String::as_str));
    for name in names.filter(|name| is_usable(name)) {
        list(name.into(), None, "crucible".into());
    }
    listed
}
