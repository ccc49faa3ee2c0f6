//! The list of models that `GET /v1/models` returns.
//!
//! It holds the models in the engines' order, then the literal aliases and the virtual models in
//! the configuration's order. Globs are left out, and so is everything that could not be answered
//! now.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crucible_config::{Config, glob};

use super::{
    names::virtual_name,
    order::is_available,
    scope::BUILTIN_VIRTUAL,
    scope::{ModelMatch, NameMatch, PlanScope},
};
use crate::{catalog::ModelKind, demand::Demand, view::View};

/// One entry of `GET /v1/models`: a name that a request may use, and the engine that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name to ask for.
    pub id: Arc<str>,
    /// Unix seconds, 0 where unknown.
    pub created: i64,
    /// The engine, or `crucible` for aliases and virtual models.
    pub owned_by: Arc<str>,
    /// The Crucibles through which it is reached, where it is reached through others only.
    pub via: Arc<[Arc<str>]>,
}

type Via = Arc<[Arc<str>]>;

/// Each bare name once, `engine/name` where it is ambiguous, literal aliases, usable virtual
/// models; no globs.
pub fn listing(view: &View, config: &Config) -> Vec<Listed> {
    let generation = Demand::default();
    let embedding = Demand {
        kind: ModelKind::Embedding,
        ..Demand::default()
    };
    let scopes = [&generation, &embedding].map(|demand| PlanScope {
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
    let mut list = |id: Arc<str>, created: Option<i64>, owned_by: Arc<str>, via: Via| {
        if seen.insert(Arc::clone(&id)) {
            listed.push(Listed {
                id,
                created: created.unwrap_or_default(),
                owned_by,
                via,
            });
        }
    };
    // Who has a model itself answers for its name.
    let shortest = |id: &str| {
        let of_it = models.iter().filter(|(_, model)| *model.id == *id);
        let via = of_it.map(|(_, model)| &model.via);
        via.min_by_key(|via| via.len())
            .map(Arc::clone)
            .unwrap_or_default()
    };
    for (engine, model) in &models {
        let (id, name) = (Arc::clone(&model.id), engine.name.clone());
        list(id, model.created, name, shortest(&model.id));
        if engines_with.get(&*model.id).is_some_and(|n| *n > 1) {
            let id = format!("{}/{}", engine.name, model.id);
            let (name, via) = (engine.name.clone(), Arc::clone(&model.via));
            list(id.into(), model.created, name, via);
        }
    }
    for name in other_names(config) {
        if let Some(via) = shortest_way(&scopes, name) {
            list(name.into(), None, "crucible".into(), via);
        }
    }
    listed
}

/// The names that stand for models of other names: literal aliases and virtual models.
fn other_names(config: &Config) -> impl Iterator<Item = &str> {
    let aliases = config.models.iter().flat_map(|model| &model.aliases);
    aliases
        .filter(|alias| !glob::is_glob(alias))
        .map(String::as_str)
        .chain(BUILTIN_VIRTUAL.map(|name| virtual_name(name, config).unwrap_or(name)))
        .chain(config.virtual_models.keys().map(String::as_str))
}

/// The instances over which a name reaches a model that is up, where it reaches one; the fewest of all
/// ways.
fn shortest_way(scopes: &[PlanScope<'_>], name: &str) -> Option<Via> {
    let via = scopes.iter().filter_map(|scope| {
        let hits = match scope.resolve(name) {
            NameMatch::Models(hits) => hits,
            NameMatch::Virtual(known) => scope.expand(known),
            NameMatch::WrongKind | NameMatch::Away(_) | NameMatch::Absent => Vec::new(),
        };
        let usable = |hit: &&ModelMatch<'_>| is_available(hit.engine) && hit.engine.is_up();
        let via = hits.iter().filter(usable).map(|hit| &hit.model.via);
        via.min_by_key(|via| via.len()).cloned()
    });
    via.min_by_key(|via| via.len())
}
