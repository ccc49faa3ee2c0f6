//! The reading of the `[[model]]` tables.

use std::sync::Arc;

use super::sampling;
use crate::{
    checked::{EngineConfig, ModelDefaults, ModelSettings, Sampling},
    glob,
    keys::{KeyPath, SubTable, model},
    kind,
    settings::{ProblemReport, Settings},
};

/// Reads all `[[model]]` tables in their order, and reports a name that stands twice for one
/// engine, a glob that cannot be read, and an engine that is not configured.
pub(super) fn models(
    settings: &Settings,
    engines: &[EngineConfig],
    report: &mut ProblemReport,
) -> Vec<ModelSettings> {
    let mut models: Vec<ModelSettings> = Vec::new();
    for i in 0..settings.count(model::TABLE) {
        let table = format!("{}[{i}]", model::TABLE);
        let name_path = model::NAME.item(i);
        let Some(name) = settings.find(&name_path) else {
            if !report.has(&name_path) {
                let source = settings.source(&table);
                report.error(
                    &name_path,
                    &source,
                    "no name",
                    "a model's name or a glob",
                    "add name = \"...\"",
                );
            }
            continue;
        };
        let name = name.as_str();
        check_glob(settings, &name_path, name, report);
        let engine = settings.find(&model::ENGINE.item(i)).map(Arc::<str>::from);
        if let Some(engine) = &engine {
            check_engine(settings, &model::ENGINE.item(i), engine, engines, report);
        }
        let twin = |other: &&ModelSettings| {
            other.name.eq_ignore_ascii_case(name) && other.engine == engine
        };
        if models.iter().any(|other| twin(&other)) {
            let found = format!("a second model {}", kind::quoted(name));
            let source = settings.source(&name_path);
            report.error(
                &name_path,
                &source,
                &found,
                "one block per model and engine",
                "join them",
            );
        }
        let aliases = aliases(settings, i, name, &models, report);
        models.push(ModelSettings {
            name: name.to_owned(),
            engine,
            aliases,
            context: settings.find(&model::CONTEXT.item(i)),
            fit: settings.find(&model::FIT.item(i)),
            pin: settings.get(&model::PIN.item(i), report),
            spill: settings.get(&model::SPILL.item(i), report),
            fallback: settings.get(&model::FALLBACK.item(i), report),
            defaults: defaults(settings, &model::DEFAULTS.item(i)),
            modelfile_context: settings.get(&model::MODELFILE_CONTEXT.item(i), report),
        });
    }
    models
}

/// Reads the `aliases` of model number `i` (from 0). An alias that another block has too is an
/// error.
fn aliases(
    settings: &Settings,
    i: usize,
    name: &str,
    others: &[ModelSettings],
    report: &mut ProblemReport,
) -> Vec<String> {
    let path = model::ALIASES.item(i);
    let aliases = settings.get(&path, report);
    for alias in &aliases {
        check_glob(settings, &path, alias, report);
        let taken = others
            .iter()
            .find(|m| m.aliases.iter().any(|a| a.eq_ignore_ascii_case(alias)));
        if let Some(other) = taken.filter(|other| !other.name.eq_ignore_ascii_case(name)) {
            let found = format!(
                "the alias {} of model {:?}",
                kind::quoted(alias),
                other.name
            );
            let source = settings.source(&path);
            let expected = "an alias that no other model has";
            report.error(&path, &source, &found, expected, "");
        }
    }
    aliases
}

/// Reads `defaults` of a model or a client key: switched off (`false`), set, or inherited where no
/// value is set.
pub(super) fn defaults(settings: &Settings, path: &KeyPath<SubTable>) -> ModelDefaults {
    if settings.is_off(path) {
        return ModelDefaults::Off;
    }
    match sampling(settings, path) {
        nothing if nothing == Sampling::default() => ModelDefaults::Inherit,
        some => ModelDefaults::Set(some),
    }
}

fn check_glob(settings: &Settings, path: &str, text: &str, report: &mut ProblemReport) {
    if let Err(error) = glob::compile(text) {
        let found = format!("{} ({error})", kind::quoted(text));
        report.error(
            path,
            &settings.source(path),
            &found,
            "a name or a glob with * and ?",
            "",
        );
    }
}

/// Reports the name of an engine that is not configured. Where none is configured, the names of
/// discovered engines are allowed.
fn check_engine(
    settings: &Settings,
    path: &str,
    name: &str,
    engines: &[EngineConfig],
    report: &mut ProblemReport,
) {
    let known = names(engines);
    if !known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
        let hint = kind::nearest(name, known.iter().copied())
            .map(|near| format!("did you mean {near:?}?"))
            .unwrap_or_default();
        let expected = format!("an engine's name: {}", known.join(", "));
        report.error(
            path,
            &settings.source(path),
            &kind::quoted(name),
            &expected,
            &hint,
        );
    }
}

/// Returns the names that engines may have: those of the configured ones, else those that discovery
/// gives.
pub(super) fn names(engines: &[EngineConfig]) -> Vec<&str> {
    if engines.is_empty() {
        vec!["lmstudio", "ollama", "llamacpp"]
    } else {
        engines.iter().map(|engine| &*engine.name).collect()
    }
}
