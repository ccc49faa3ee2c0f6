//! The models of an Ollama as its polls reported them: descriptions by digest, and the names of
//! each runner.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{
    parse::{ListedRunner, ModelDescription, digest, parse_tag, same},
    runner::RunnerLeads,
};
use crate::catalog::{ModelInfo, ResidentInfo};

/// The models that polls have reported, kept from one poll to the next.
#[derive(Debug, Default)]
pub(super) struct PolledModels {
    /// The descriptions from `/api/show`, by digest.
    pub(super) shown: HashMap<String, ModelDescription>,
    /// The name that stands for each file of weights, which several names may share.
    pub(super) leads: RunnerLeads,
    /// The names of each runner, from the last list.
    names: HashMap<Arc<str>, Vec<Arc<str>>>,
}

// === impl PolledModels ===

impl PolledModels {
    /// The models of `/api/tags`, each with its runner.
    pub(super) fn models(&mut self, tags: &[Value]) -> Vec<ModelInfo> {
        let Self {
            shown,
            leads,
            names,
        } = self;
        names.clear();
        let model = |tag| {
            let digest = digest(tag)?;
            let shown = shown.get(&digest);
            let mut model = parse_tag(tag, shown)?;
            if let Some(described) = shown.and_then(|s| s.described.as_ref()) {
                model.runner = leads.of(&model.id, &digest, described);
                model.load = Arc::clone(&described.load);
            }
            let shared = names.entry(Arc::clone(&model.runner)).or_default();
            shared.push(Arc::clone(&model.id));
            Some(model)
        };
        tags.iter().filter_map(model).collect()
    }

    /// Returns the resident of a listed runner under the name that stands for it.
    pub(super) fn resident(&self, told: ListedRunner) -> ResidentInfo {
        let ListedRunner {
            mut resident,
            digest,
        } = told;
        let lead = digest.and_then(|digest| {
            let described = self.shown.get(&digest)?.described.as_ref()?;
            self.leads.known(&digest, described)
        });
        resident.model = lead.unwrap_or_else(|| self.runner_of(&resident.instance));
        resident
    }

    /// The runner of a name; itself where none is known.
    pub(super) fn runner_of(&self, name: &Arc<str>) -> Arc<str> {
        let has = |names: &Vec<Arc<str>>| names.iter().any(|n| same(n, name));
        let found = self.names.iter().find(|(_, names)| has(names));
        Arc::clone(found.map_or(name, |(runner, _)| runner))
    }

    /// The name that a resident was loaded under, then the others that it answers to.
    pub(super) fn names_of(&self, resident: &ResidentInfo) -> Vec<Arc<str>> {
        let mut names = vec![Arc::clone(&resident.instance)];
        let others = self.names.get(&resident.model).into_iter().flatten();
        names.extend(others.filter(|n| **n != resident.instance).cloned());
        names
    }
}
