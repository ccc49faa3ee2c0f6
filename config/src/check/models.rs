//! `[[model]]`.

use std::sync::Arc;

use super::{fit, sampling};
use crate::{
    checked::{Engine, Model, ModelDefaults, Sampling},
    glob, kind,
    settings::{Report, Settings},
};

pub(super) fn models(settings: &Settings, engines: &[Engine], report: &mut Report) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for i in 0..settings.count("model") {
        let table = format!("model[{i}]");
        let at = |key: &str| format!("{table}.{key}");
        let Some(name) = settings.text(&at("name")) else {
            if !report.has(&at("name")) {
                let source = settings.source(&table);
                report.error(
                    &at("name"),
                    &source,
                    "no name",
                    "a model's name or a glob",
                    "add name = \"...\"",
                );
            }
            continue;
        };
        check_glob(settings, &at("name"), name, report);
        let engine = settings.text(&at("engine")).map(Arc::<str>::from);
        if let Some(engine) = &engine {
            check_engine(settings, &at("engine"), engine, engines, report);
        }
        let twin = |other: &&Model| other.name.eq_ignore_ascii_case(name) && other.engine == engine;
        if models.iter().any(|other| twin(&other)) {
            let found = format!("a second model {}", kind::quoted(name));
            let source = settings.source(&at("name"));
            report.error(
                &at("name"),
                &source,
                &found,
                "one block per model and engine",
                "join them",
            );
        }
        let aliases = settings.texts(&at("aliases"));
        for alias in &aliases {
            check_glob(settings, &at("aliases"), alias, report);
            let taken = models
                .iter()
                .find(|m| m.aliases.iter().any(|a| a.eq_ignore_ascii_case(alias)));
            if let Some(other) = taken.filter(|other| !other.name.eq_ignore_ascii_case(name)) {
                let found = format!(
                    "the alias {} of model {:?}",
                    kind::quoted(alias),
                    other.name
                );
                let source = settings.source(&at("aliases"));
                report.error(
                    &at("aliases"),
                    &source,
                    &found,
                    "an alias that no other model has",
                    "",
                );
            }
        }
        models.push(Model {
            name: name.to_owned(),
            engine,
            aliases,
            context: settings.integer(&at("context")),
            fit: fit(settings, &at("fit")),
            pin: settings.flag(&at("pin")),
            spill: settings.flag(&at("spill")),
            fallback: settings.texts(&at("fallback")),
            defaults: defaults(settings, &at("defaults")),
            modelfile_context: settings.boolean(&at("modelfile_context")).unwrap_or(true),
        });
    }
    models
}

/// `defaults` of a model or of a key.
pub(super) fn defaults(settings: &Settings, path: &str) -> ModelDefaults {
    if settings.boolean(path) == Some(false) {
        return ModelDefaults::Off;
    }
    match sampling(settings, path) {
        nothing if nothing == Sampling::default() => ModelDefaults::Inherit,
        some => ModelDefaults::Set(some),
    }
}

fn check_glob(settings: &Settings, path: &str, text: &str, report: &mut Report) {
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

/// Reports an engine that is not there. Without configured engines the discovered ones count.
fn check_engine(
    settings: &Settings,
    path: &str,
    name: &str,
    engines: &[Engine],
    report: &mut Report,
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

/// Names that an engine may have.
pub(super) fn names(engines: &[Engine]) -> Vec<&str> {
    if engines.is_empty() {
        vec!["lmstudio", "ollama", "llamacpp"]
    } else {
        engines.iter().map(|engine| &*engine.name).collect()
    }
}
