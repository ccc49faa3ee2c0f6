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
    /// The name that a request may use.
    pub id: Arc<str>,
    /// The time at which the model was made, in Unix seconds; 0 where it is unknown.
    pub created: i64,
    /// The name of the engine, or `crucible` for aliases and virtual models.
    pub owned_by: Arc<str>,
    /// The engine whose model answers for the name; the first, where there are several.
    pub engine: Arc<str>,
    /// The name of that model on its engine.
    pub model: Arc<str>,
    /// The ids of the other Crucible instances through which the model is reached; empty where an
    /// engine has it itself.
    pub via: Arc<[Arc<str>]>,
    /// The longest context of a request to that model, in tokens, where its engine tells it.
    pub max_context: Option<u64>,
}

type Via = Arc<[Arc<str>]>;

/// A model that is up and that a name means.
struct NamedModel {
    engine: Arc<str>,
    model: Arc<str>,
    /// The instances over which the name reaches any of its models; the fewest of all ways.
    via: Via,
    max_context: Option<u64>,
}

/// The names so far, each once.
#[derive(Default)]
struct Names {
    listed: Vec<Listed>,
    seen: HashSet<Arc<str>>,
}

// === impl Names ===

impl Names {
    /// Adds a name, unless it is there.
    fn add(&mut self, id: Arc<str>, created: Option<i64>, owned_by: Arc<str>, named: NamedModel) {
        if self.seen.insert(Arc::clone(&id)) {
            self.listed.push(Listed {
                id,
                created: created.unwrap_or_default(),
                owned_by,
                engine: named.engine,
                model: named.model,
                via: named.via,
                max_context: named.max_context,
            });
        }
    }
}

/// Returns all names that a request may use now: each model of an engine that is up, once;
/// `engine/model` for a model that several engines have; and the literal aliases and virtual models
/// that lead to a model that is up. Aliases that are globs are left out.
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
    let mut all = Names::default();
    // Who has a model itself answers for its name.
    let shortest = |id: &str| {
        let of_it = models.iter().filter(|(_, model)| *model.id == *id);
        let via = of_it.map(|(_, model)| &model.via);
        via.min_by_key(|via| via.len())
            .map(Arc::clone)
            .unwrap_or_default()
    };
    for (engine, model) in &models {
        let named = |via| NamedModel {
            engine: engine.name.clone(),
            model: Arc::clone(&model.id),
            via,
            max_context: model.max_context,
        };
        let owner = || engine.name.clone();
        let via = shortest(&model.id);
        all.add(Arc::clone(&model.id), model.created, owner(), named(via));
        if engines_with.get(&*model.id).is_some_and(|n| *n > 1) {
            let id = format!("{}/{}", engine.name, model.id);
            let via = Arc::clone(&model.via);
            all.add(id.into(), model.created, owner(), named(via));
        }
    }
    for name in other_names(config) {
        if let Some(named) = named_model(&scopes, name) {
            all.add(name.into(), None, "crucible".into(), named);
        }
    }
    all.listed
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

/// The model that a name means and that is up, where there is one: the first of them, with the shortest of
/// the ways to all of them.
fn named_model(scopes: &[PlanScope<'_>], name: &str) -> Option<NamedModel> {
    let mut found: Option<NamedModel> = None;
    for scope in scopes {
        let hits = match scope.resolve(name) {
            NameMatch::Models(hits) => hits,
            NameMatch::Virtual(known) => scope.expand(known),
            NameMatch::WrongKind | NameMatch::Away(_) | NameMatch::Absent => Vec::new(),
        };
        let usable = |hit: &&ModelMatch<'_>| is_available(hit.engine) && hit.engine.is_up();
        for hit in hits.iter().filter(usable) {
            let way = &hit.model.via;
            let named = found.get_or_insert_with(|| NamedModel {
                engine: hit.engine.name.clone(),
                model: Arc::clone(&hit.model.id),
                via: Arc::clone(way),
                max_context: hit.model.max_context,
            });
            if way.len() < named.via.len() {
                named.via = Arc::clone(way);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::Device;

    use super::*;
    use crate::plan::fixture::{config, engine, view};

    #[test]
    fn each_name_is_described_by_the_first_model_that_answers_for_it() {
        let fleet = view([
            engine("gpu", Device::Gpu, &["qwen", "both"]),
            engine("cpu", Device::Cpu, &["llama3.2:latest", "both"]),
        ]);
        let config = config("[[model]]\nname = \"qwen\"\naliases = [\"coder\"]\n");
        let listed = listing(&fleet, &config);
        for (id, owner, engine, model) in [
            ("qwen", "gpu", "gpu", "qwen"),
            ("both", "gpu", "gpu", "both"),
            ("cpu/both", "cpu", "cpu", "both"),
            ("llama3.2:latest", "cpu", "cpu", "llama3.2:latest"),
            ("coder", "crucible", "gpu", "qwen"),
        ] {
            let found = listed.iter().find(|l| &*l.id == id).unwrap();
            let described = (&*found.owned_by, &*found.engine, &*found.model);
            assert_eq!(described, (owner, engine, model), "{id}");
        }
        let auto = listed.iter().find(|l| &*l.id == "auto").unwrap();
        assert!(fleet.engine(&auto.engine).is_some(), "{auto:?}");
    }
}
