//! The rules and their tests as files, by their own types.

use std::{collections::BTreeMap, fs, process::Command};

use serde::Deserialize;

use super::expressions::selectors;
use crate::folder;

/// A file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    groups: Vec<Group>,
}

/// Rules that are evaluated one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[expect(dead_code, reason = "read for its form")]
    name: String,
    rules: Vec<Rule>,
}

/// A recording rule or an alert.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default)]
    pub(super) record: Option<String>,
    #[serde(default)]
    pub(super) alert: Option<String>,
    pub(super) expr: String,
    #[serde(default, rename = "for")]
    pub(super) pending: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

/// The file of tests, of which only the names are needed here.
#[derive(Debug, Deserialize)]
struct TestFile {
    tests: Vec<NamedTest>,
}

#[derive(Debug, Deserialize)]
struct NamedTest {
    name: String,
}

fn read(path: &str) -> String {
    let path = folder().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The shipped rules.
pub(super) fn rules() -> Vec<Rule> {
    let file: RuleFile = serde_saphyr::from_str(&read("prometheus/rules/crucible.yml")).unwrap();
    file.groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

/// The shipped alerts with their names.
pub(super) fn alerts() -> Vec<(String, Rule)> {
    let named = rules()
        .into_iter()
        .filter_map(|rule| Some((rule.alert.clone()?, rule)));
    named.collect()
}

#[test]
fn a_rule_records_or_alerts() {
    for rule in rules() {
        assert!(rule.record.is_some() != rule.alert.is_some(), "{rule:?}");
    }
}

/// `level:metric:operations`, and every recorded series is used by an alert or is there for people to chart.
#[test]
fn recorded_names_say_level_metric_and_operation() {
    for rule in rules() {
        let Some(name) = rule.record else { continue };
        let parts: Vec<_> = name.split(':').collect();
        assert_eq!(parts.len(), 3, "{name}");
        assert!(parts[1].starts_with("crucible_"), "{name}");
        let levels = [
            "instance",
            "engine",
            "engine_model",
            "engine_type",
            "engine_phase",
            "gpu",
            "pool",
        ];
        assert!(levels.contains(&parts[0]), "{name}");
        assert!(rule.labels.is_empty() && rule.annotations.is_empty());
    }
}

#[test]
fn rules_read_only_what_is_recorded() {
    let recorded: Vec<_> = rules().into_iter().filter_map(|rule| rule.record).collect();
    for rule in rules() {
        for found in selectors(&rule.expr) {
            let name = found.name().to_owned();
            assert!(!name.contains(':') || recorded.contains(&name), "{name}");
        }
    }
}

/// A person's scrape configuration names the job as it likes.
#[test]
fn no_rule_names_a_job() {
    for rule in rules() {
        assert!(
            !rule.expr.contains("job=") && !rule.expr.contains("job!"),
            "{}",
            rule.expr
        );
    }
}

#[test]
fn alerts_say_how_bad_what_and_where_to_read_on() {
    for (name, rule) in alerts() {
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(
            ["critical", "warning", "info"]
                .map(Some)
                .contains(&severity),
            "{name}"
        );
        let keys: Vec<_> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "runbook_url", "summary"], "{name}");
        assert_eq!(
            rule.annotations["runbook_url"],
            format!("docs/runbooks.md#{name}")
        );
        assert!(
            rule.annotations["description"].contains("{{"),
            "{name}: of which engine?"
        );
        assert!(!rule.annotations["summary"].contains("{{"), "{name}");
        assert!(
            rule.pending.is_some() || rule.expr.contains('['),
            "{name}: one sample fires"
        );
    }
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_stays_quiet() {
    let file: TestFile =
        serde_saphyr::from_str(&read("prometheus/rules/crucible_test.yml")).unwrap();
    let names: Vec<_> = file.tests.into_iter().map(|test| test.name).collect();
    for (alert, _) in alerts() {
        for ending in ["fires", "stays quiet"] {
            let start = format!("{alert} {ending}");
            assert!(names.iter().any(|name| name.starts_with(&start)), "{start}");
        }
    }
    assert!(
        names
            .iter()
            .any(|name| name.contains("beside scrapes and probes")),
        "ratios are tested beside scrapes and probes"
    );
}

/// The alerts themselves, by Debian's package `prometheus`; the test says so where it is missing.
#[test]
fn promtool_finds_the_rules_right() {
    for (command, file) in [("check", "crucible.yml"), ("test", "crucible_test.yml")] {
        let done = Command::new("promtool")
            .args([command, "rules"])
            .arg(folder().join("prometheus/rules").join(file))
            .output()
            .expect("promtool of Debian's package `prometheus`");
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}
