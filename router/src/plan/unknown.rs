//! The refusal of a name that no engine has.

use std::borrow::Cow;

use crucible_config::glob;

use super::{
    names::{glob_alias, literal_alias, stem},
    order,
    scope::{BUILTIN_VIRTUAL, NameMatch, PlanScope},
};
use crate::{catalog::ModelKind, refusal::Refusal};

/// The most names that a refusal suggests.
const NEAREST: usize = 3;
/// The Jaro-Winkler similarity (0 to 1) from which on a known name is suggested.
const SIMILAR: f64 = 0.75;

// === impl PlanScope ===

impl PlanScope<'_> {
    /// Returns the refusal with 404 of an unknown name: the nearest names and the configuration
    /// lines that would make it an alias. For an alias it names the model that the alias stands for
    /// instead.
    pub(super) fn unknown(&self) -> Refusal {
        let name = self.name_shown();
        let asked = self.demand.model.as_str();
        let block = literal_alias(asked, self.config).or_else(|| glob_alias(asked, self.config));
        if let Some(block) = block {
            return Refusal::UnknownModel {
                name,
                nearest: self.nearest(&block.name),
                hint: String::new(),
                closed: self.closed(),
                alias_of: Some(block.name.clone()),
            };
        }
        let nearest = self.nearest(&name);
        let hint = self.hint(&name, &nearest);
        Refusal::UnknownModel {
            name,
            nearest,
            hint,
            closed: self.closed(),
            alias_of: None,
        }
    }

    /// Returns the engines that refuse Crucible access, in words: the model may be one of theirs.
    fn closed(&self) -> String {
        let closed = self.view.engines.iter().filter(|e| e.refused_access);
        let each = closed.map(|engine| format!("'{}' {}", engine.name, order::state(engine)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Returns the known names that are most like `name`, the best first, at most three.
    pub(super) fn nearest(&self, name: &str) -> Vec<String> {
        let leads_somewhere = |alias: &&str| {
            !glob::is_glob(alias) && !matches!(self.resolve(alias), NameMatch::Absent)
        };
        let aliases = self.config.models.iter().flat_map(|m| &m.aliases);
        let aliases = aliases.map(String::as_str).filter(leads_somewhere);
        let models = self.models().map(|(_, model)| &*model.id);
        let virtuals = self.config.virtual_models.keys().map(String::as_str);
        let mut scored: Vec<(f64, &str)> = models
            .chain(aliases)
            .chain(virtuals)
            .chain(BUILTIN_VIRTUAL)
            .map(|known| (similarity(name, known), known))
            .filter(|(score, _)| *score >= SIMILAR)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let mut nearest: Vec<String> = Vec::with_capacity(NEAREST);
        for (_, known) in scored {
            let is_new = known != name && !nearest.iter().any(|n| n == known);
            if nearest.len() < NEAREST && is_new {
                nearest.push(known.to_owned());
            }
        }
        nearest
    }

    /// Returns the configuration lines that make `name` an alias of the nearest model of the needed
    /// kind, else of the first such model.
    fn hint(&self, name: &str, nearest: &[String]) -> String {
        let of_kind = |kind: ModelKind| {
            let all = self.models().filter(move |(_, m)| m.kind == kind);
            all.map(|(_, m)| &*m.id)
        };
        let kind = self.demand.kind;
        let target = nearest
            .iter()
            .find_map(|near| of_kind(kind).find(|id| id == near))
            .or_else(|| of_kind(kind).next())
            .unwrap_or("a model of GET /v1/models");
        format!(
            "[[model]]\nname = {}\naliases = [{}]",
            toml_text(target),
            toml_text(&literal(name))
        )
    }
}

/// Returns the name as an alias that matches nothing else, with the signs of globs escaped.
fn literal(name: &str) -> Cow<'_, str> {
    if !glob::is_glob(name) {
        return Cow::Borrowed(name);
    }
    let escaped = name.chars().map(|c| match c {
        '*' | '?' | '[' | ']' | '{' | '}' | '\\' => format!("[{c}]"),
        _ => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

/// A TOML string: JSON's escapes are a subset of TOML's.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the best of three similarities: of the whole names, of the parts behind the last slash,
/// and of these without tag and quantization.
fn similarity(asked: &str, known: &str) -> f64 {
    let forms = |name: &str| {
        let lower = name.to_lowercase();
        let base = lower.rsplit('/').next().unwrap_or(&lower).to_owned();
        let untagged = stem(base.split(':').next().unwrap_or(&base)).to_owned();
        [lower, base, untagged]
    };
    forms(asked)
        .iter()
        .zip(&forms(known))
        .map(|(a, b)| strsim::jaro_winkler(a, b))
        .fold(0.0, f64::max)
}
