//! The search for names in a configuration that mean nothing that any engine has.

use crucible_config::{Config, glob, name::after_engine, references::ModelReference};

use super::{
    names::virtual_name,
    scope::{NameMatch, PlanScope},
};
use crate::{
    demand::Demand,
    view::{EngineView, View},
};

/// A name in the configuration that is no model, engine, alias or virtual model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The name, with the path of the setting that it stands in.
    pub reference: ModelReference,
    /// Whether every engine that could have the model answers its polls, so that the model is known
    /// to be missing.
    pub certain: bool,
    /// The known names that are most like it, the best first, at most three.
    pub nearest: Vec<String>,
}

/// Returns the names in the configuration that nothing in the view has, in the order of their keys.
pub fn absent(view: &View, config: &Config) -> Vec<Absent> {
    let all = view.any_up() && view.engines.iter().all(EngineView::is_up);
    // Of a name that begins with an engine's only that one knows.
    let answers = |name: &str| {
        let is_its = |e: &&EngineView| after_engine(name, &e.name).is_some();
        view.engines
            .iter()
            .find(is_its)
            .map_or(all, EngineView::is_up)
    };
    let references = config.references().into_iter();
    references
        .filter_map(|reference| {
            let demand = Demand {
                model: reference.name.clone(),
                ..Demand::default()
            };
            let scope = PlanScope {
                view,
                demand: &demand,
                config,
            };
            (!scope.knows(&reference)).then(|| Absent {
                nearest: scope.nearest(&reference.name),
                certain: answers(&reference.name),
                reference,
            })
        })
        .collect()
}

// === impl PlanScope ===

impl PlanScope<'_> {
    fn knows(&self, reference: &ModelReference) -> bool {
        let name = reference.name.as_str();
        let is_engine = |engine: &str| engine.eq_ignore_ascii_case(name);
        let configured = self.config.engines.iter().any(|e| is_engine(&e.name));
        let found = self.view.engines.iter().any(|e| is_engine(&e.name));
        if reference.takes_engines && (configured || found) {
            return true;
        }
        if virtual_name(name, self.config).is_some() {
            return true;
        }
        if glob::is_glob(name) {
            return self.models().any(|(engine, model)| {
                let prefixed = format!("{}/{}", engine.name, model.id);
                self.config.glob_matches(name, &model.id)
                    || self.config.glob_matches(name, &prefixed)
            });
        }
        !matches!(self.resolve(name), NameMatch::Absent)
    }
}
