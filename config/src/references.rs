//! The places at which a configuration names models, so that the names can be looked up in the engines.

use crate::{
    check::BUILTIN_VIRTUAL,
    checked::Config,
    glob,
    keys::{join, model, root, rule, scheduler, startup},
};

/// A place at which a configuration names a model, or a virtual model or engine in place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelReference {
    /// The path of the key, `rule[0].use`.
    pub path: String,
    /// The name that stands there, which may be a glob.
    pub name: String,
    /// Whether an engine's name may stand there.
    pub takes_engines: bool,
}

// === impl Config ===

impl Config {
    /// Every name of a model in this configuration, in the order of the keys.
    pub fn references(&self) -> Vec<ModelReference> {
        let one = |path: &str, name: &String| ModelReference {
            path: path.to_owned(),
            name: name.clone(),
            takes_engines: false,
        };
        let mut all = Vec::new();
        all.extend(
            self.default_model
                .iter()
                .map(|n| one(&root::DEFAULT_MODEL.path(), n)),
        );
        for (i, block) in self.models.iter().enumerate() {
            all.push(one(&model::NAME.item(i), &block.name));
            let path = model::FALLBACK.item(i);
            all.extend(block.fallback.iter().map(|name| one(&path, name)));
        }
        let small = self.scheduler.small_model.iter();
        all.extend(small.map(|name| one(&scheduler::SMALL_MODEL.path(), name)));
        all.extend(
            self.warm
                .iter()
                .map(|name| one(&startup::WARM.path(), name)),
        );
        for (i, block) in self.rules.iter().enumerate() {
            all.push(ModelReference {
                takes_engines: true,
                ..one(&rule::USE.item(i), &block.target)
            });
        }
        for (name, patterns) in &self.virtual_models {
            let path = join(root::VIRTUAL.name(), name);
            all.extend(patterns.iter().map(|pattern| ModelReference {
                takes_engines: true,
                ..one(&path, pattern)
            }));
        }
        all
    }

    /// Whether this configuration itself says what a name is, without asking an engine: a virtual
    /// model, an engine, a `[[model]]` block, an alias, or `engine/...`.
    pub fn declares(&self, name: &str) -> bool {
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        let matches = |known: &String| {
            is_it(known) || (glob::is_glob(known) && self.glob_matches(known, name))
        };
        let engine = name.split_once('/').map_or(name, |(engine, _)| engine);
        let engines = self.engines.iter().map(|e| &*e.name);
        let found = ["lmstudio", "ollama", "llamacpp"];
        let found = found.into_iter().filter(|_| self.engines.is_empty());
        self.virtual_models.keys().any(|known| is_it(known))
            || BUILTIN_VIRTUAL.into_iter().any(is_it)
            || engines
                .chain(found)
                .any(|known| known.eq_ignore_ascii_case(engine))
            || self
                .models
                .iter()
                .any(|block| matches(&block.name) || block.aliases.iter().any(matches))
    }
}
