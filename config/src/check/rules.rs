//! The reading of `[virtual]` and of the `[[rule]]` tables.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::models::names;
use crate::{
    checked::{EngineConfig, RoutingRule},
    glob,
    keys::{KeyPath, SubTable, join, root, rule, when},
    kind,
    settings::{ProblemReport, Settings},
};

/// Reads `[virtual]`: the patterns of each virtual model by its name, in the order of the file.
/// Reports a name that an engine has too, an empty list, and patterns that name no engine.
pub(super) fn virtual_models(
    settings: &Settings,
    engines: &[EngineConfig],
    report: &mut ProblemReport,
) -> IndexMap<String, Vec<String>> {
    let all: IndexMap<String, Vec<String>> = settings
        .names(root::VIRTUAL.name())
        .into_iter()
        .map(|name| {
            let patterns = settings.named(root::VIRTUAL.name(), &name);
            (name, patterns.unwrap_or_default())
        })
        .collect();
    let known = names(engines);
    for (name, patterns) in &all {
        let path = join(root::VIRTUAL.name(), name);
        let source = settings.source(&path);
        if name.contains('/') {
            let hint = "a slash separates engine and model";
            report.error(
                &path,
                &source,
                &kind::quoted(name),
                "a name without a slash",
                hint,
            );
        }
        if known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
            report.error(
                &path,
                &source,
                "the name of an engine",
                "a name of its own",
                "",
            );
        }
        if patterns.is_empty() {
            let hint = "for example [\"lmstudio/*\"]";
            report.error(
                &path,
                &source,
                "an empty list",
                "at least one pattern",
                hint,
            );
        }
        for pattern in patterns {
            check_pattern(settings, &path, pattern, &known, report);
        }
    }
    all
}

/// Reports a pattern of a virtual model that is no glob, or of which the part before `/*` is no
/// engine's name.
fn check_pattern(
    settings: &Settings,
    path: &str,
    pattern: &str,
    known: &[&str],
    report: &mut ProblemReport,
) {
    let source = settings.source(path);
    if let Err(error) = glob::compile(pattern) {
        let found = format!("{} ({error})", kind::quoted(pattern));
        let expected = "engine/model, where model may be a glob";
        report.error(path, &source, &found, expected, "");
    }
    // A model's own name may hold a slash, so only `x/*` must name an engine.
    let foreign = pattern
        .strip_suffix("/*")
        .filter(|engine| !engine.contains(['*', '?', '/']))
        .filter(|engine| !known.iter().any(|k| k.eq_ignore_ascii_case(engine)));
    if let Some(engine) = foreign {
        let hint = kind::nearest(engine, known.iter().copied())
            .map(|near| format!("did you mean \"{near}/*\"?"))
            .unwrap_or_default();
        let expected = format!("an engine's name before the slash: {}", known.join(", "));
        report.error(path, &source, &kind::quoted(pattern), &expected, &hint);
    }
}

/// Reads all `[[rule]]` tables in their order, which is that in which they are tried. Reports a
/// rule without `use` and conditions that no request can meet.
pub(super) fn rules(settings: &Settings, report: &mut ProblemReport) -> Vec<RoutingRule> {
    let mut rules = Vec::new();
    for i in 0..settings.count(rule::TABLE) {
        let source = settings.source(&format!("{}[{i}]", rule::TABLE));
        let use_path = rule::USE.item(i);
        let target = settings.find(&use_path).unwrap_or_default();
        if target.is_empty() && !report.has(&use_path) {
            let expected = "a virtual model, a model or an engine";
            report.error(&use_path, &source, "no use", expected, "add use = \"...\"");
        }
        let conditions = rule::WHEN.item(i);
        let prefix = when::HEADER.at(&conditions);
        let header: BTreeMap<String, String> = settings
            .names(&prefix)
            .into_iter()
            .filter_map(|name| {
                let value = settings.named::<Option<String>>(&prefix, &name)??;
                Some((name.to_ascii_lowercase(), value))
            })
            .collect();
        matches_nothing(settings, &conditions, report);
        let found = RoutingRule {
            model: settings.find(&when::MODEL.at(&conditions)),
            tokens_over: settings.find(&when::TOKENS_OVER.at(&conditions)),
            tokens_under: settings.find(&when::TOKENS_UNDER.at(&conditions)),
            tools: settings.find(&when::TOOLS.at(&conditions)),
            images: settings.find(&when::IMAGES.at(&conditions)),
            words: settings.get(&when::WORDS.at(&conditions), report),
            header,
            target,
        };
        if let (Some(over), Some(under)) = (found.tokens_over, found.tokens_under)
            && over.saturating_add(1) >= under
        {
            let path = when::TOKENS_UNDER.at(&conditions);
            let expected = format!("more than tokens_over + 1, which is {}", over + 1);
            let hint = "as it is, no request matches";
            report.error(
                &path,
                &settings.source(&path),
                &under.to_string(),
                &expected,
                hint,
            );
        }
        rules.push(found);
    }
    rules
}

/// Reports conditions that no request can meet: header names that cannot exist, and words without a
/// letter.
fn matches_nothing(
    settings: &Settings,
    conditions: &KeyPath<SubTable>,
    report: &mut ProblemReport,
) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let prefix = when::HEADER.at(conditions);
    for name in settings.names(&prefix) {
        if name.is_empty() || !name.chars().all(is_token) {
            let path = join(&prefix, &name);
            let found = kind::quoted(&name);
            let expected = "the name of a header, without spaces and colon";
            let hint = "as it is, no request matches";
            report.no_effect(&path, &settings.source(&path), &found, expected, hint);
        }
    }
    let path = when::WORDS.at(conditions);
    for words in settings.get(&path, report) {
        if words.trim().is_empty() {
            let (found, expected) = (kind::quoted(&words), "a word, or several with spaces");
            let hint = "as it is, no message has it; remove it";
            report.no_effect(&path, &settings.source(&path), &found, expected, hint);
        }
    }
}
