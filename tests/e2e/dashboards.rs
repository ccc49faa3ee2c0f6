//! Dashboard and rules as files: well formed, and about metrics that exist.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use crucible::metrics::{FAMILIES, Family, FamilyType};
use crucible_config::tuning::{TUNINGS, TuningId, TuningState};
use crucible_tests::dashboards::{dashboard, folder, panels, queries, substitute};
use promql_parser::{
    label::Matchers,
    parser::{self, Expr, VectorSelector},
};

/// Exported, but on no panel and in no rule.
const NOT_CHARTED: &[&str] = &[
    "crucible_upstream_connect_duration_seconds",
    "crucible_model_expires_timestamp_seconds",
    "crucible_residency_polls_total",
    "crucible_retries_total",
    "crucible_retry_budget_remaining",
    "crucible_gpu_memory_used_bytes",
    "crucible_gpu_memory_total_bytes",
    "crucible_gpu_memory_limit_bytes",
    "crucible_gpu_utilization_ratio",
    "crucible_gpu_temperature_celsius",
    "crucible_gpu_power_watts",
    "crucible_energy_joules_total",
    "crucible_host_memory_used_bytes",
    "crucible_host_memory_total_bytes",
    "crucible_engine_memory_limit_bytes",
    "crucible_pool_budget_bytes",
    "crucible_pool_used_bytes",
    "crucible_pool_loading",
    "crucible_queue_waiting",
    "crucible_request_phase_seconds_total",
    "crucible_prefill_seconds",
    "crucible_prefill_requests",
    "crucible_prefill_remaining_seconds",
    "crucible_runtime_alive_tasks",
    "crucible_runtime_busy_seconds_total",
    "crucible_runtime_workers",
    "crucible_connections_evicted_total",
    "process_virtual_memory_bytes",
    "process_threads",
];

/// Selectors of an expression, each with the function directly around it.
fn selectors(expr: &Expr, within: &str, found: &mut Vec<(VectorSelector, String)>) {
    match expr {
        Expr::VectorSelector(selector) => found.push((selector.clone(), within.to_owned())),
        Expr::MatrixSelector(matrix) => found.push((matrix.vs.clone(), within.to_owned())),
        Expr::Call(call) => {
            for arg in &call.args.args {
                selectors(arg, call.func.name, found);
            }
        }
        Expr::Aggregate(aggregate) => selectors(&aggregate.expr, "", found),
        Expr::Unary(unary) => selectors(&unary.expr, "", found),
        Expr::Binary(binary) => {
            selectors(&binary.lhs, "", found);
            selectors(&binary.rhs, "", found);
        }
        Expr::Paren(paren) => selectors(&paren.expr, within, found),
        Expr::Subquery(subquery) => selectors(&subquery.expr, within, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn parsed(expr: &str) -> Result<Vec<(VectorSelector, String)>> {
    let tree = parser::parse(expr).map_err(|error| anyhow!("{expr}: {error}"))?;
    let mut found = Vec::new();
    selectors(&tree, "", &mut found);
    Ok(found)
}

fn family(series: &str) -> Option<&'static Family> {
    let histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| series.strip_suffix(suffix));
    FAMILIES.iter().find(|family| match family.kind {
        FamilyType::Histogram => Some(family.name) == histogram,
        FamilyType::Counter | FamilyType::Gauge => family.name == series,
    })
}

fn labels(matchers: &Matchers) -> Vec<&str> {
    matchers.matchers.iter().map(|m| m.name.as_str()).collect()
}

/// Expressions of the rules; each is on one line, behind `expr:`.
fn rules() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(folder().join("prometheus/rules/crucible.yml"))?;
    Ok(text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("expr: "))
        .map(str::to_owned)
        .collect())
}

/// Names of recorded series hold colons, `up` is Prometheus' own.
fn foreign(name: &str) -> bool {
    name.contains(':') || name == "up"
}

#[test]
fn dashboard_is_portable() {
    let dashboard = dashboard().unwrap();
    assert_eq!(dashboard["uid"], "crucible");
    assert_eq!(dashboard["schemaVersion"], 39);
    assert_eq!(dashboard["editable"], false);
    assert!(dashboard.get("id").is_none() && dashboard.get("__inputs").is_none());
    let variables: BTreeMap<_, _> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap(), variable))
        .collect();
    assert_eq!(variables["datasource"]["type"], "datasource");
    assert_eq!(variables["datasource"]["label"], "Data source");
    for name in ["job", "instance", "engine", "model"] {
        let variable = variables[name];
        assert_eq!(variable["refresh"], 2, "{name}");
        assert_eq!(variable["allValue"], ".+", "{name}");
        let query = variable["query"].as_str().unwrap();
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|q| q.strip_suffix(&format!(", {name})")))
            .unwrap_or_else(|| panic!("{query}"));
        for (selector, _) in parsed(&substitute(inner)).unwrap() {
            assert!(family(&selector.name.unwrap()).is_some(), "{query}");
        }
    }
}

#[test]
fn panels_explain_themselves_and_do_not_overlap() {
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id");
        assert!(!title.is_empty());
        let description = panel["description"].as_str().unwrap();
        assert!(description.ends_with('.'), "{title}: description");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
        let units = [
            "short",
            "s",
            "reqps",
            "ops",
            "bytes",
            "decbytes",
            "percentunit",
        ];
        assert!(units.contains(&unit), "{title}: unit {unit}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}: too wide");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{title}: overlaps");
            }
        }
    }
}

#[test]
fn panel_queries_select_existing_metrics_of_the_chosen_job() {
    let queries = queries().unwrap();
    assert!(!queries.is_empty());
    for query in queries {
        assert!(!query.expr.contains('$'), "{}", query.expr);
        if ["rate(", "increase("]
            .iter()
            .any(|f| query.template.contains(f))
        {
            assert!(
                query.template.contains("[$__rate_interval]"),
                "{}",
                query.panel
            );
        }
        for (selector, within) in parsed(&query.expr).unwrap() {
            let name = selector.name.clone().unwrap();
            let family = family(&name).unwrap_or_else(|| panic!("{}: {name}", query.panel));
            let used = labels(&selector.matchers);
            assert!(
                used.contains(&"job") && used.contains(&"instance"),
                "{}",
                query.panel
            );
            for label in used {
                let known = ["job", "instance"].contains(&label)
                    || family.label_names().any(|name| name == label);
                assert!(known, "{}: {name} has no {label}", query.panel);
            }
            let counts = family.kind != FamilyType::Gauge;
            let rated = ["rate", "irate", "increase"].contains(&within.as_str());
            assert_eq!(counts, rated, "{}: {name} within '{within}'", query.panel);
        }
    }
}

/// A row or a state that was renamed would leave a panel or an alert empty without a word.
#[test]
fn settings_and_states_that_are_named_exist() {
    let panels = queries().unwrap().into_iter().map(|query| query.expr);
    let mut seen = 0;
    for expr in panels.chain(rules().unwrap()) {
        for (selector, _) in parsed(&expr).unwrap() {
            if selector.name.as_deref() != Some("crucible_tuning_state") {
                continue;
            }
            seen += 1;
            for matcher in &selector.matchers.matchers {
                let known = match matcher.name.as_str() {
                    "setting" => TuningId::named(&matcher.value).is_some(),
                    "state" => TuningState::ALL
                        .iter()
                        .any(|state| state.as_str() == matcher.value),
                    _ => true,
                };
                assert!(known, "{expr}: no such {matcher}");
            }
        }
    }
    assert!(seen > 0, "no panel shows the settings");
    let count = format!("{} settings", TUNINGS.len());
    let text = std::fs::read_to_string(folder().join("grafana/dashboards/crucible.json")).unwrap();
    assert!(text.contains(&count), "the panel says how many there are");
}

#[test]
fn rules_are_about_existing_metrics() {
    let rules = rules().unwrap();
    assert!(!rules.is_empty());
    for rule in rules {
        for (selector, _) in parsed(&rule).unwrap() {
            let name = selector.name.clone().unwrap();
            if foreign(&name) {
                continue;
            }
            let family = family(&name).unwrap_or_else(|| panic!("{rule}: {name}"));
            for label in labels(&selector.matchers) {
                let known = ["job", "instance"].contains(&label)
                    || family.label_names().any(|name| name == label);
                assert!(known, "{rule}: {name} has no {label}");
            }
        }
    }
}

#[test]
fn every_family_is_charted_or_listed_as_not() {
    let used: BTreeSet<&str> = queries()
        .unwrap()
        .iter()
        .map(|query| query.expr.clone())
        .chain(rules().unwrap())
        .flat_map(|expr| parsed(&expr).unwrap())
        .filter_map(|(selector, _)| family(&selector.name?))
        .map(|family| family.name)
        .collect();
    let unused: BTreeSet<&str> = FAMILIES
        .iter()
        .map(|family| family.name)
        .filter(|name| !used.contains(name))
        .collect();
    assert_eq!(unused, NOT_CHARTED.iter().copied().collect());
}

#[test]
fn every_alert_has_tests_and_a_runbook() {
    let read = |path: &str| std::fs::read_to_string(folder().join(path)).unwrap();
    let (rules, tests) = (
        read("prometheus/rules/crucible.yml"),
        read("prometheus/rules/crucible_test.yml"),
    );
    let readme = read("README.md");
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        assert!(tests.contains(&format!("name: {alert} fires\n")), "{alert}");
        assert!(
            tests.contains(&format!("name: {alert} stays quiet\n")),
            "{alert}"
        );
        assert!(readme.contains(&format!("\n### {alert}\n")), "{alert}");
        let anchor = format!("README.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&anchor), "{alert}");
    }
}
