//! Dashboards and rules against the table of metrics: nothing is charted that does not exist, and nothing exists
//! that is neither charted nor excused.

use std::collections::BTreeSet;

use crucible::metrics::{FAMILIES, FamilyType};
use crucible_config::tuning::{TUNINGS, TuningId, TuningState};

use super::{
    expressions::{family, is_foreign, selectors},
    rule_files::rules,
};
use crate::queries;

/// Families that are on no panel and in no rule, and why.
const NOT_CHARTED: [(&str, &str); 4] = [
    (
        "crucible_inspector_on",
        "switched by a person for some minutes, of which every open page tells",
    ),
    (
        "crucible_inspector_kept_bytes",
        "bounded, and part of the resident memory that is charted",
    ),
    (
        "process_virtual_memory_bytes",
        "address space that is reserved, not memory that is used",
    ),
    ("process_threads", "fixed by the number of cores"),
];
/// Functions under which a counter may stand.
const GROWTH: [&str; 3] = ["rate", "irate", "increase"];

fn rule_expressions() -> Vec<String> {
    rules().into_iter().map(|rule| rule.expr).collect()
}

#[test]
fn panels_read_existing_metrics_by_existing_labels() {
    for query in queries() {
        assert!(!query.expr.contains('$'), "{}", query.expr);
        for found in selectors(&query.expr) {
            if is_foreign(found.name()) {
                continue;
            }
            let family = family(found.name()).unwrap_or_else(|| panic!("{}", query.expr));
            for (label, value) in found.matchers() {
                let known = family.labels.iter().find(|known| known.name == label);
                assert!(
                    known.is_some() || ["job", "instance"].contains(&label),
                    "{}: {} has no {label}",
                    query.panel,
                    family.name
                );
                // A word that the label never takes would select nothing, or exclude nothing.
                for word in value
                    .split('|')
                    .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
                {
                    let allowed = known.is_none_or(|label| label.values.allows(word));
                    assert!(
                        allowed || word.is_empty(),
                        "{}: {label} is never {word}",
                        query.panel
                    );
                }
            }
            let counts = family.kind != FamilyType::Gauge;
            let grows = GROWTH.contains(&found.within.as_str());
            assert_eq!(counts, grows, "{}: {}", query.panel, query.expr);
        }
    }
}

#[test]
fn rules_read_existing_metrics_by_existing_labels() {
    for expr in rule_expressions() {
        for found in selectors(&expr) {
            if is_foreign(found.name()) {
                continue;
            }
            let family = family(found.name()).unwrap_or_else(|| panic!("{expr}: {}", found.name()));
            for (label, value) in found.matchers() {
                let known = family.labels.iter().find(|known| known.name == label);
                let known =
                    known.unwrap_or_else(|| panic!("{expr}: {} has no {label}", family.name));
                for word in value
                    .split('|')
                    .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
                {
                    assert!(known.values.allows(word), "{expr}: {label} is never {word}");
                }
            }
            let counts = family.kind != FamilyType::Gauge;
            assert_eq!(counts, GROWTH.contains(&found.within.as_str()), "{expr}");
        }
    }
}

#[test]
fn every_family_is_charted_or_excused() {
    let expressions = queries().into_iter().map(|query| query.expr);
    let used: BTreeSet<&str> = expressions
        .chain(rule_expressions())
        .flat_map(|expr| selectors(&expr))
        .filter_map(|found| family(found.name()))
        .map(|family| family.name)
        .collect();
    let names = FAMILIES.iter().map(|family| family.name);
    let unused: BTreeSet<&str> = names.filter(|name| !used.contains(name)).collect();
    let excused = NOT_CHARTED.map(|(name, _)| name);
    assert_eq!(unused, BTreeSet::from(excused));
}

/// A row or a state that was renamed would leave a panel or an alert empty without a word.
#[test]
fn settings_and_states_that_are_named_exist() {
    let panels = queries().into_iter().map(|query| query.expr);
    let mut seen = 0;
    for expr in panels.chain(rule_expressions()) {
        for found in selectors(&expr) {
            if found.name() != "crucible_tuning_state" {
                continue;
            }
            seen += 1;
            for (label, value) in found.matchers() {
                let known = match label {
                    "setting" => TuningId::named(value).is_some(),
                    "state" => TuningState::ALL.iter().any(|state| state.as_str() == value),
                    _ => true,
                };
                assert!(known, "{expr}: no such {label}: {value}");
            }
        }
    }
    assert!(seen > 1, "settings are on a panel and in a rule");
    let count = format!("{} settings", TUNINGS.len());
    let said = crate::dashboards().iter().any(|dashboard| {
        let mut panels = dashboard.panels.iter();
        panels.any(|panel| panel.description.contains(&count))
    });
    assert!(said, "the table says how many settings there are");
}
