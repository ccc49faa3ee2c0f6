//! What `GET /v1/models` lists.

use std::sync::Arc;

use crucible_config::{Config, glob};

use crate::view::View;

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
    let mut listed: Vec<Listed> = Vec::new();
    let models = || {
        view.engines
            .iter()
            .filter(|engine| engine.is_up())
            .flat_map(|engine| engine.models.iter().map(move |model| (engine, model)))
            .filter(|(engine, model)| {
                !model.cloud || config.engine(&engine.name).is_some_and(|e| e.allow_cloud)
            })
    };
    for (engine, model) in models() {
        let ambiguous = models().filter(|(_, other)| other.id == model.id).count() > 1;
        if !listed.iter().any(|l| l.id == model.id) {
            listed.push(Listed {
                id: Arc::clone(&model.id),
                created: model.created.unwrap_or_default(),
                owned_by: Arc::clone(&engine.name),
            });
        }
        if ambiguous {
            listed.push(Listed {
                id: format!("{}/{}", engine.name, model.id).into(),
                created: model.created.unwrap_or_default(),
                owned_by: Arc::clone(&engine.name),
            });
        }
    }
    if listed.is_empty() {
        return listed;
    }
    let literal = config
        .models
        .iter()
        .flat_map(|model| &model.aliases)
        .filter(|alias| !glob::is_glob(alias));
    let policy = super::BUILTIN_VIRTUAL
        .iter()
        .map(|name| (*name).to_owned())
        .chain(config.virtual_models.keys().cloned());
    for name in literal.cloned().chain(policy) {
        if !listed.iter().any(|l| *l.id == *name) {
            listed.push(Listed {
                id: name.into(),
                created: 0,
                owned_by: "crucible".into(),
            });
        }
    }
    listed
}
