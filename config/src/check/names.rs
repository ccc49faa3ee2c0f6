//! The search for names of models that contradict each other, as far as the file alone tells.
//!
//! Only the engines know whether a name is a model's; see [`crate::references`].

use std::collections::BTreeSet;

use crate::{
    checked::{Config, ModelSettings},
    glob,
    keys::{join, model, root, rule, when},
    kind,
    settings::{ProblemReport, Settings},
};

/// The virtual models that exist without a table.
pub(crate) const BUILTIN_VIRTUAL: [&str; 3] = ["auto", "fast", "quality"];

/// Reports aliases, fallbacks, virtual models and rules whose names contradict each other, or go
/// round in a circle, as far as the file alone tells.
pub(super) fn names(settings: &Settings, config: &Config, report: &mut ProblemReport) {
    for (i, block) in config.models.iter().enumerate() {
        aliases(settings, config, i, block, report);
        fallback(settings, i, block, report);
    }
    virtual_models(settings, config, report);
    rules(settings, config, report);
}

/// Whether two names mean one model: letter case does not count, and neither does `:latest` at the
/// end.
fn same(a: &str, b: &str) -> bool {
    let bare = |name: &str| {
        let lower = name.to_ascii_lowercase();
        lower
            .strip_suffix(":latest")
            .map(str::to_owned)
            .unwrap_or(lower)
    };
    bare(a) == bare(b)
}

fn literal_alias<'a>(config: &'a Config, name: &str) -> Option<&'a ModelSettings> {
    let is_it = |alias: &String| !glob::is_glob(alias) && alias.eq_ignore_ascii_case(name);
    config
        .models
        .iter()
        .find(|block| block.aliases.iter().any(is_it))
}

fn aliases(
    settings: &Settings,
    config: &Config,
    i: usize,
    block: &ModelSettings,
    report: &mut ProblemReport,
) {
    let path = model::ALIASES.item(i);
    let source = settings.source(&path);
    for alias in block.aliases.iter().filter(|alias| !glob::is_glob(alias)) {
        let quoted = kind::quoted(alias);
        if same(alias, &block.name) {
            let found = format!("{quoted}, the model's own name");
            report.no_effect(&path, &source, &found, "another name", "remove it");
            continue;
        }
        if let Some(circle) = circle(config, alias) {
            let found = format!("a circle of aliases, {}", circle.join(" -> "));
            let hint = "a model's own name always wins over an alias; remove one of them";
            report.no_effect(&path, &source, &found, "aliases that end at a model", hint);
            continue;
        }
        let mut models = config
            .models
            .iter()
            .filter(|other| !glob::is_glob(&other.name));
        if let Some(other) = models.find(|other| same(&other.name, alias)) {
            let found = format!("{quoted}, the name of model {:?}", other.name);
            let hint = "a model's own name always wins over an alias";
            report.no_effect(&path, &source, &found, "a name that no model has", hint);
        }
        let mut virtuals = config.virtual_models.keys();
        if let Some(hidden) = virtuals.find(|name| name.eq_ignore_ascii_case(alias)) {
            let found = format!("{quoted}, the name of virtual.{hidden}");
            let hint = "the alias hides the virtual model";
            let expected = "a name that no virtual model has";
            report.no_effect(&path, &source, &found, expected, hint);
        }
    }
}

/// Returns the names on the way from an alias through other aliases back to it; `None` where they
/// do not lead back.
fn circle(config: &Config, alias: &str) -> Option<Vec<String>> {
    let mut names = vec![alias.to_owned()];
    let mut at = alias.to_owned();
    while names.len() <= config.models.len() {
        let block = literal_alias(config, &at)?;
        names.push(block.name.clone());
        if same(&block.name, alias) {
            return Some(names);
        }
        at.clone_from(&block.name);
    }
    None
}

fn fallback(settings: &Settings, i: usize, block: &ModelSettings, report: &mut ProblemReport) {
    let path = model::FALLBACK.item(i);
    for name in &block.fallback {
        let is_itself = same(name, &block.name)
            || block
                .aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(name));
        if is_itself {
            let found = format!("{}, the model itself", kind::quoted(name));
            let source = settings.source(&path);
            let expected = "names of other models";
            report.no_effect(&path, &source, &found, expected, "remove it");
        }
    }
}

fn virtual_models(settings: &Settings, config: &Config, report: &mut ProblemReport) {
    for name in config.virtual_models.keys() {
        let mut seen = BTreeSet::new();
        if reaches(config, name, name, &mut seen) {
            let path = join(root::VIRTUAL.name(), name);
            let source = settings.source(&path);
            let found = "a virtual model that contains itself";
            report.error(&path, &source, found, "patterns that end at models", "");
        }
    }
}

/// Whether the virtual model `from` contains the name `to`, also through aliases and other virtual
/// models. `seen` are the names that were followed already.
fn reaches(config: &Config, from: &str, to: &str, seen: &mut BTreeSet<String>) -> bool {
    if !seen.insert(from.to_ascii_lowercase()) {
        return false;
    }
    let found = config
        .virtual_models
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(from));
    let next: Vec<&String> = match (found, literal_alias(config, from)) {
        // An alias wins over a virtual model of its name.
        (_, Some(block)) => vec![&block.name],
        (Some((_, patterns)), None) => patterns.iter().collect(),
        (None, None) => return false,
    };
    next.into_iter()
        .any(|name| name.eq_ignore_ascii_case(to) || reaches(config, name, to, seen))
}

fn rules(settings: &Settings, config: &Config, report: &mut ProblemReport) {
    let own = config.virtual_models.keys().map(String::as_str);
    let known: Vec<&str> = own.chain(BUILTIN_VIRTUAL).collect();
    for (i, one) in config.rules.iter().enumerate() {
        let Some(model) = &one.model else { continue };
        let path = when::MODEL.at(&rule::WHEN.item(i));
        let source = settings.source(&path);
        if !known.iter().any(|name| name.eq_ignore_ascii_case(model)) {
            let hint = kind::nearest(model, known.iter().copied()).map_or_else(
                || "rules decide virtual models only".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            let expected = format!("a virtual model: {}", known.join(", "));
            report.no_effect(&path, &source, &kind::quoted(model), &expected, &hint);
        } else if one.target.eq_ignore_ascii_case(model) {
            let path = rule::USE.item(i);
            let found = format!("{}, the model that it decides", kind::quoted(model));
            let source = settings.source(&path);
            let expected = "another virtual model, a model or an engine";
            report.no_effect(&path, &source, &found, expected, "");
        }
    }
}
