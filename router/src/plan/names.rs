//! Resolution of a name to the models on engines that it means.
//!
//! In order: a model's exact name, `engine/model`, the name in another case, with and without
//! `:latest`, a literal alias, a virtual model, another name that its engine serves it under, a name
//! that leaves the quantization open, and an alias that is a glob.

pub(crate) use crucible_config::name::{same, stem};
use crucible_config::{Config, checked::ModelSettings, glob, name::exactness};

use super::{
    candidate::Reason,
    order::{self, is_available},
    scope::{BUILTIN_VIRTUAL, ModelMatch, NameMatch, PlanScope},
    served::is_served_as,
};
use crate::{
    catalog::{ModelInfo, ModelKind},
    view::EngineView,
};

/// Returns the virtual model of this name as it is configured or built in; letter case does not
/// count.
pub(super) fn virtual_name<'a>(name: &str, config: &'a Config) -> Option<&'a str> {
    config
        .virtual_models
        .keys()
        .map(String::as_str)
        .chain(BUILTIN_VIRTUAL)
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// Returns the first `[[model]]` block with this alias, globs left aside; letter case does not
/// count.
pub(super) fn literal_alias<'a>(name: &str, config: &'a Config) -> Option<&'a ModelSettings> {
    let has = |block: &&ModelSettings| {
        let mut aliases = block.aliases.iter();
        aliases.any(|alias| !glob::is_glob(alias) && alias.eq_ignore_ascii_case(name))
    };
    config.models.iter().find(has)
}

/// Returns the first `[[model]]` block with an alias that is a glob and matches the name.
pub(super) fn glob_alias<'a>(name: &str, config: &'a Config) -> Option<&'a ModelSettings> {
    let has = |block: &&ModelSettings| {
        let mut aliases = block.aliases.iter();
        aliases.any(|alias| glob::is_glob(alias) && config.glob_matches(alias, name))
    };
    config.models.iter().find(has)
}

// === impl PlanScope ===

impl<'a> PlanScope<'a> {
    /// Resolves a name to the models that it means, in the order that the module describes.
    /// `default_model` does not count here.
    pub(super) fn resolve(&self, name: &str) -> NameMatch<'a> {
        let mut exact = self.matching(Reason::Exact, |_, model| &*model.id == name);
        if !exact.is_empty() {
            if self.demand.kind == ModelKind::Embedding {
                // It may not fit beside a model that generates, and then another engine may have room.
                let loose = self.matching(Reason::Exact, |_, model| same(&model.id, name));
                order::append(&mut exact, loose);
                exact = order::one_per_engine(exact);
            }
            return self.placed(exact);
        }
        let prefixed = self.prefixed(name);
        if !matches!(prefixed, NameMatch::Absent) {
            return prefixed;
        }
        // A tag that is there in another case is meant before none at all.
        let cased = self.matching(Reason::Exact, |_, model| {
            model.id.eq_ignore_ascii_case(name)
        });
        if !cased.is_empty() {
            return self.placed(cased);
        }
        let loose = self.matching(Reason::Exact, |_, model| same(&model.id, name));
        if !loose.is_empty() {
            return self.placed(loose);
        }
        if let Some(block) = literal_alias(name, self.config) {
            return self.alias(block);
        }
        if let Some(known) = virtual_name(name, self.config) {
            return NameMatch::Virtual(known);
        }
        let served = self.matching(Reason::Exact, |e, m| is_served_as(e, m, name));
        if !served.is_empty() {
            return self.placed(served);
        }
        let open = self.open(name, |_| true);
        if !open.is_empty() {
            return self.placed(open);
        }
        match glob_alias(name, self.config) {
            Some(block) => self.alias(block),
            None => self.unlisted(name),
        }
    }

    /// Returns the models of all engines with their engines. Cloud models are left out unless the
    /// engine allows them, and so are models behind a Crucible instance that the request came
    /// through, which would be a loop.
    pub(super) fn models(&self) -> impl Iterator<Item = (&'a EngineView, &'a ModelInfo)> {
        let (config, hops) = (self.config, &self.demand.hops);
        self.view.engines.iter().flat_map(move |engine| {
            let all = engine.models.iter().map(move |model| (engine, model));
            all.filter(move |(engine, model)| {
                let round = model.via.iter().any(|number| hops.contains(number));
                let open = || config.engine(&engine.name).is_some_and(|e| e.allow_cloud);
                !round && (!model.cloud || open())
            })
        })
    }

    /// Whether the model is pinned to engines by its `[[model]]` blocks and this engine is none of
    /// them.
    pub(super) fn pinned_away(&self, engine: &str, model: &str) -> bool {
        let mut pins = self.pins(model).peekable();
        pins.peek().is_some() && !pins.any(|pin| pin.eq_ignore_ascii_case(engine))
    }

    /// Returns the engines that a model is pinned to: those of the blocks with its name, else that
    /// of the first block whose glob matches it.
    pub(super) fn pins(&self, model: &str) -> impl Iterator<Item = &'a str> {
        let blocks = &self.config.models;
        let is_named = |block: &&ModelSettings, model: &str| {
            let pin = block.engine.as_deref().unwrap_or_default();
            exactness(&block.name, pin, model).is_some_and(|n| n < 2)
        };
        let named = blocks.iter().any(|block| is_named(&block, model));
        let globbed = if named {
            None
        } else {
            blocks.iter().find(|block| {
                glob::is_glob(&block.name) && self.config.glob_matches(&block.name, model)
            })
        };
        let model = model.to_owned();
        let exact = blocks.iter().filter(move |block| is_named(block, &model));
        exact
            .chain(globbed)
            .filter_map(|block| block.engine.as_deref())
    }

    /// Keeps one model per engine, the first of each.
    fn matching(
        &self,
        reason: Reason,
        test: impl Fn(&EngineView, &ModelInfo) -> bool,
    ) -> Vec<ModelMatch<'a>> {
        let mut hits: Vec<ModelMatch<'a>> = Vec::new();
        for (engine, model) in self.models().filter(|(e, m)| test(e, m)) {
            if !hits.iter().any(|hit| hit.engine.name == engine.name) {
                hits.push(ModelMatch {
                    engine,
                    model,
                    reason,
                });
            }
        }
        hits
    }

    /// Returns the models whose name without the quantization is this one; the preferred
    /// quantization of each engine.
    fn open(&self, name: &str, on: impl Fn(&EngineView) -> bool) -> Vec<ModelMatch<'a>> {
        let fits = |model: &ModelInfo| {
            let stem = stem(&model.id);
            stem.len() < model.id.len() && same(stem, name)
        };
        let mut all: Vec<ModelMatch<'a>> = self
            .models()
            .filter(|(engine, model)| on(engine) && fits(model))
            .map(|(engine, model)| ModelMatch {
                engine,
                model,
                reason: Reason::Exact,
            })
            .collect();
        all.sort_by_key(|hit| (!self.is_preferred(hit.model), hit.model.id.clone()));
        order::one_per_engine(all)
    }

    /// Whether the model has the preferred quantization (`tuning.ollama.quantization`), by what the
    /// engine reports, else by the end of its name.
    pub(super) fn is_preferred(&self, model: &ModelInfo) -> bool {
        let wanted = self.config.tuning.ollama.quantization.as_str();
        let ends_so = || {
            let at = model.id.len().checked_sub(wanted.len());
            at.and_then(|at| model.id.get(at..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(wanted))
        };
        model
            .quantization
            .as_ref()
            .map_or_else(ends_so, |told| told.eq_ignore_ascii_case(wanted))
    }

    /// Resolves a name of the form `engine/model`. A name with a slash whose first part is no
    /// engine is not of that form.
    fn prefixed(&self, name: &str) -> NameMatch<'a> {
        let Some((prefix, rest)) = name.split_once('/') else {
            return NameMatch::Absent;
        };
        let is_here = |e: &EngineView| e.name.eq_ignore_ascii_case(prefix);
        let Some(engine) = self.view.engines.iter().find(|e| is_here(e)) else {
            return NameMatch::Absent;
        };
        let mut hits = self.matching(Reason::Prefixed, |e, m| is_here(e) && &*m.id == rest);
        if hits.is_empty() {
            hits = self.matching(Reason::Prefixed, |e, m| is_here(e) && same(&m.id, rest));
        }
        if hits.is_empty()
            && let Some(block) =
                literal_alias(rest, self.config).or_else(|| glob_alias(rest, self.config))
        {
            hits = self.matching(Reason::Prefixed, |e, m| {
                is_here(e) && exactness(&block.name, &e.name, &m.id).is_some()
            });
        }
        if hits.is_empty() {
            let serves = |e: &EngineView, m: &ModelInfo| is_here(e) && is_served_as(e, m, rest);
            hits = self.matching(Reason::Prefixed, serves);
        }
        if hits.is_empty() {
            hits = self.open(rest, is_here);
        }
        for hit in &mut hits {
            hit.reason = Reason::Prefixed;
        }
        if hits.is_empty() {
            return if engine.is_up() {
                NameMatch::Absent
            } else {
                NameMatch::Away(format!("'{}' {}", engine.name, order::state(engine)))
            };
        }
        self.of_kind(hits)
    }

    /// Resolves an alias to the models that it stands for, on the engines to which its block pins
    /// it.
    fn alias(&self, block: &'a ModelSettings) -> NameMatch<'a> {
        let target = block.name.as_str();
        let mut hits = if glob::is_glob(target) {
            self.expand_glob(target)
        } else {
            let exact = self.matching(Reason::Alias, |_, model| &*model.id == target);
            let loose = || self.matching(Reason::Alias, |_, model| same(&model.id, target));
            if exact.is_empty() { loose() } else { exact }
        };
        if hits.is_empty()
            && let NameMatch::Models(prefixed) = self.prefixed(target)
        {
            hits = prefixed;
        }
        if hits.is_empty() {
            if let Some(known) = virtual_name(target, self.config) {
                return NameMatch::Virtual(known);
            }
            hits = self.open(target, |_| true);
        }
        if hits.is_empty() {
            return self.unlisted(target);
        }
        for hit in &mut hits {
            hit.reason = Reason::Alias;
        }
        if let Some(pin) = &block.engine {
            return self.pinned(hits, &[pin]);
        }
        self.placed(hits)
    }

    /// Keeps the matches on the engines to which the first matched model is pinned; all of them
    /// where it has no pin.
    fn placed(&self, hits: Vec<ModelMatch<'a>>) -> NameMatch<'a> {
        if self
            .config
            .models
            .iter()
            .all(|block| block.engine.is_none())
        {
            return self.of_kind(hits);
        }
        let pins: Vec<&str> = match hits.first() {
            Some(hit) => self.pins(&hit.model.id).collect(),
            None => Vec::new(),
        };
        self.pinned(hits, &pins)
    }

    /// Keeps the matches on the pinned engines, in the order of the pins; all of them where there
    /// is no pin.
    fn pinned(&self, mut hits: Vec<ModelMatch<'a>>, pins: &[impl AsRef<str>]) -> NameMatch<'a> {
        if pins.is_empty() {
            return self.of_kind(hits);
        }
        let several = hits.len() > 1;
        let known = hits.first().map(|hit| hit.model.id.clone());
        let rank = |hit: &ModelMatch<'_>| {
            let is_it = |pin: &dyn AsRef<str>| pin.as_ref().eq_ignore_ascii_case(&hit.engine.name);
            pins.iter().position(|pin| is_it(pin))
        };
        hits.retain(|hit| rank(hit).is_some());
        hits.sort_by_key(|hit| rank(hit));
        for hit in &mut hits {
            if several && hit.reason == Reason::Exact {
                hit.reason = Reason::Pinned;
            }
        }
        if hits.is_empty() {
            return NameMatch::Away(self.pin_state(&known.unwrap_or_default(), pins[0].as_ref()));
        }
        self.of_kind(hits)
    }

    fn of_kind(&self, mut hits: Vec<ModelMatch<'a>>) -> NameMatch<'a> {
        hits.retain(|hit| self.has_kind(hit.engine, hit.model));
        if hits.is_empty() {
            NameMatch::WrongKind
        } else {
            NameMatch::Models(hits)
        }
    }

    /// Whether a model is of the kind that the request needs. On an engine that does not report the
    /// kinds of its models, any may be asked for embeddings, and the engine refuses where it
    /// cannot.
    fn has_kind(&self, engine: &EngineView, model: &ModelInfo) -> bool {
        let may_embed = !engine.kind.profile().tells_model_kinds;
        model.kind == self.demand.kind || self.demand.kind == ModelKind::Embedding && may_embed
    }

    /// Resolves a name that no engine lists: the configuration may say where it would be.
    fn unlisted(&self, name: &str) -> NameMatch<'a> {
        match self.pins(name).next() {
            Some(pin) if !self.view.engine(pin).is_some_and(EngineView::is_up) => {
                NameMatch::Away(self.pin_state(name, pin))
            }
            _ => NameMatch::Absent,
        }
    }

    fn pin_state(&self, model: &str, pin: &str) -> String {
        let state = match self.view.engine(pin) {
            None => "is not there".into(),
            Some(engine) if is_available(engine) && !engine.refused_access => {
                "does not have it".into()
            }
            Some(engine) => order::state(engine),
        };
        format!("'{model}' is pinned to '{pin}', which {state}")
    }
}
