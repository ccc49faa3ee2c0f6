//! The rules of a portable dashboard, after those of Grafana's own dashboard linter: each is one test over all
//! dashboards.

use std::collections::BTreeSet;

use super::expressions::{family, is_foreign, selectors};
use crate::{
    dashboards,
    fields::{Matcher, Property, Transformation},
    schema::{Dashboard, Panel, PanelOptions, PanelType, VariableType},
    substitute,
};

/// The units in use, of those that Grafana knows; `suffix:` begins one of our own.
const UNITS: [&str; 11] = [
    "short",
    "s",
    "percentunit",
    "bytes",
    "binBps",
    "watt",
    "celsius",
    "suffix: tok/s",
    "suffix: /min",
    "suffix: ×",
    "dateTimeFromNow",
];
/// The ranges of counters: a rate's, the time that is shown, and the window of an alert.
const RANGES: [&str; 3] = ["$__rate_interval", "$__range", "10m"];

/// Every panel that is no row, with where it stands for the text of a failed assertion.
pub(super) fn each(mut check: impl FnMut(&Dashboard, &Panel, &str)) {
    for dashboard in dashboards() {
        for panel in dashboard
            .panels
            .iter()
            .filter(|p| p.r#type != PanelType::Row)
        {
            let at = format!("{}: {}", dashboard.title, panel.title);
            check(&dashboard, panel, &at);
        }
    }
}

#[test]
fn uids_are_stable_and_no_dashboard_can_be_edited() {
    let uids = dashboards().map(|dashboard| dashboard.uid);
    assert_eq!(
        uids,
        ["crucible-overview", "crucible-engines", "crucible-streams"]
    );
    for dashboard in dashboards() {
        assert!(!dashboard.editable, "{}", dashboard.title);
        assert!((39..=41).contains(&dashboard.schema_version));
        assert!(!dashboard.description.is_empty());
    }
}

#[test]
fn data_source_is_a_variable() {
    for dashboard in dashboards() {
        let sources: Vec<_> = dashboard
            .templating
            .list
            .iter()
            .filter(|variable| variable.r#type == VariableType::Datasource)
            .collect();
        assert_eq!(sources.len(), 1, "{}", dashboard.title);
        let source = sources[0];
        assert_eq!(
            (source.name.as_str(), source.label.as_str()),
            ("datasource", "Data source")
        );
        assert_eq!(source.query, "prometheus");
    }
}

#[test]
fn variables_ask_for_existing_labels_anew_when_the_time_changes() {
    for dashboard in dashboards() {
        let list = &dashboard.templating.list;
        for name in ["job", "instance", "engine", "model"] {
            let variable = list.iter().find(|v| v.name == name).expect(name);
            assert_eq!(variable.r#type, VariableType::Query, "{name}");
            assert_eq!(variable.refresh, Some(2), "{name}");
            assert!(variable.multi == Some(true) && variable.include_all == Some(true));
            assert_eq!(variable.definition.as_ref(), Some(&variable.query));
            assert!(!variable.label.is_empty() && !variable.description.is_empty());
            let (series, label) = variable
                .query
                .strip_prefix("label_values(")
                .and_then(|inner| inner.strip_suffix(')'))
                .and_then(|inner| inner.rsplit_once(", "))
                .expect("label_values");
            assert_eq!(label, name);
            for found in selectors(&substitute(series)) {
                let family = family(found.name()).expect(series);
                let known = ["job", "instance"].contains(&name)
                    || family.label_names().any(|label| label == name);
                assert!(known, "{series} has no {name}");
            }
        }
    }
}

#[test]
fn panels_explain_themselves() {
    let mut titles = BTreeSet::new();
    each(|dashboard, panel, at| {
        assert!(
            !panel.title.is_empty() && !panel.title.ends_with('.'),
            "{at}"
        );
        assert!(
            titles.insert((dashboard.uid.clone(), panel.title.clone())),
            "{at}: twice"
        );
        let first = panel.description.lines().next().unwrap_or_default();
        assert!(first.ends_with('.'), "{at}: the description is no sentence");
    });
}

#[test]
fn panels_and_queries_use_the_chosen_data_source() {
    each(|_, panel, at| {
        let source = panel.datasource.as_ref().expect(at);
        assert_eq!(
            (source.r#type.as_str(), source.uid.as_str()),
            ("prometheus", "${datasource}")
        );
        assert!(!panel.targets.is_empty(), "{at}: no query");
        for target in &panel.targets {
            assert_eq!(&target.datasource, source, "{at}");
            assert!(target.instant != target.range, "{at}");
        }
    });
    for dashboard in dashboards() {
        for annotation in dashboard.annotations.list {
            assert_eq!(
                annotation.datasource.uid, "${datasource}",
                "{}",
                annotation.name
            );
        }
    }
}

#[test]
fn units_are_known_and_none_is_missing() {
    each(|_, panel, at| {
        let unit = &panel.field_config.as_ref().expect(at).defaults.unit;
        assert!(UNITS.contains(&unit.as_str()), "{at}: unit {unit}");
    });
}

#[test]
fn options_are_those_of_the_kind_of_panel() {
    each(|_, panel, at| {
        let fits = matches!(
            (panel.r#type, panel.options.as_ref().expect(at)),
            (PanelType::Stat, PanelOptions::Stat(_))
                | (PanelType::Timeseries, PanelOptions::Timeseries(_))
                | (PanelType::Heatmap, PanelOptions::Heatmap(_))
                | (PanelType::StateTimeline, PanelOptions::StateTimeline(_))
                | (PanelType::Bargauge, PanelOptions::Bargauge(_))
                | (PanelType::Table, PanelOptions::Table(_))
        );
        assert!(fits, "{at}");
    });
}

#[test]
fn panels_do_not_overlap_and_have_numbers_of_their_own() {
    for dashboard in dashboards() {
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in &dashboard.panels {
            let (at, title) = (panel.grid_pos, &panel.title);
            assert!(ids.insert(panel.id), "{title}: number {}", panel.id);
            assert!(
                at.x + at.w <= 24 && at.w > 0 && at.h > 0,
                "{title}: too wide"
            );
            for x in at.x..at.x + at.w {
                for y in at.y..at.y + at.h {
                    assert!(cells.insert((x, y)), "{title}: overlaps");
                }
            }
        }
    }
}

#[test]
fn no_dashboard_has_more_than_thirty_panels() {
    for dashboard in dashboards() {
        let panels = dashboard
            .panels
            .iter()
            .filter(|p| p.r#type != PanelType::Row);
        let count = panels.count();
        assert!((10..=30).contains(&count), "{}: {count}", dashboard.title);
    }
}

#[test]
fn queries_of_a_panel_have_names_of_their_own() {
    each(|_, panel, at| {
        let ids: BTreeSet<_> = panel.targets.iter().map(|target| &target.ref_id).collect();
        assert_eq!(ids.len(), panel.targets.len(), "{at}");
        let is_table = panel.r#type == PanelType::Table;
        for target in &panel.targets {
            assert_eq!(target.legend_format.is_empty(), is_table, "{at}: legend");
            assert_eq!(target.format == "table", is_table, "{at}: format");
        }
    });
}

/// A legend that names a label which the query sums away shows nothing in its place.
#[test]
fn legends_name_labels_that_the_query_keeps() {
    each(|_, panel, at| {
        for target in &panel.targets {
            for part in target.legend_format.split("{{").skip(1) {
                let label = part.split("}}").next().unwrap_or_default();
                let kept = target.expr.contains(&format!("by ({label}"))
                    || target.expr.contains(&format!(", {label},"))
                    || target.expr.contains(&format!(", {label})"));
                assert!(kept, "{at}: {label} of {}", target.expr);
            }
        }
    });
}

#[test]
fn every_selector_has_job_and_instance() {
    each(|_, panel, at| {
        for target in &panel.targets {
            for found in selectors(&substitute(&target.expr)) {
                let labels: Vec<_> = found.matchers().iter().map(|(label, _)| *label).collect();
                assert!(labels.contains(&"job"), "{at}: {}", target.expr);
                assert!(
                    labels.contains(&"instance") || is_foreign(found.name()),
                    "{at}"
                );
            }
        }
    });
}

#[test]
fn ranges_are_those_that_fit_any_scrape_interval() {
    let check = |at: &str, expr: &str| {
        for part in expr.split('[').skip(1) {
            let range = part.split(']').next().unwrap_or_default();
            assert!(RANGES.contains(&range), "{at}: [{range}]");
        }
        assert!(!expr.contains("rate(") || !expr.contains("[10m]"), "{at}");
    };
    each(|_, panel, at| {
        for target in &panel.targets {
            check(at, &target.expr);
        }
    });
    for dashboard in dashboards() {
        for annotation in dashboard.annotations.list {
            check(&annotation.name, &annotation.expr);
        }
    }
}

/// `10m` is the window of an alert, for the one number of the last moment; a chart uses Grafana's interval.
#[test]
fn fixed_windows_are_for_numbers_only() {
    each(|_, panel, at| {
        for target in &panel.targets {
            let fixed = target.expr.contains("[10m]") || target.expr.contains("[$__range]");
            assert!(!fixed || target.instant, "{at}: {}", target.expr);
        }
    });
}

#[test]
fn words_and_limits_are_about_queries_that_exist() {
    each(|_, panel, at| {
        let legends: Vec<_> = panel
            .targets
            .iter()
            .map(|t| t.legend_format.as_str())
            .collect();
        for change in &panel.transformations {
            if let Transformation::ConfigFromData(config) = change {
                let target = panel
                    .targets
                    .iter()
                    .find(|t| t.ref_id == config.config_ref_id);
                assert_eq!(
                    target.expect(at).legend_format,
                    config.mappings[0].field_name
                );
                assert_eq!(panel.targets.len(), 2, "{at}: one line and its limit");
            }
        }
        for exception in &panel.field_config.as_ref().expect(at).overrides {
            let Matcher::ByName(name) = &exception.matcher else {
                continue;
            };
            let renamed = exception
                .properties
                .iter()
                .any(|p| matches!(p, Property::DisplayName(_)));
            let is_value = legends.contains(&"{{phase}}")
                || (name == "none" && legends.contains(&"{{engine}}"));
            let known = legends.contains(&name.as_str())
                || panel.r#type == PanelType::Table
                || (renamed && is_value);
            assert!(known, "{at}: no series {name}");
        }
    });
}

/// A bar in a chart is a dashed line, and something says where it comes from: an alert or a limit.
#[test]
fn thresholds_are_drawn_and_have_a_reason() {
    each(|_, panel, at| {
        let defaults = &panel.field_config.as_ref().expect(at).defaults;
        let judged = defaults
            .thresholds
            .as_ref()
            .is_some_and(|t| t.steps.len() > 1);
        if judged {
            assert!(!panel.links.is_empty(), "{at}: a bar without an alert");
        }
        if judged && panel.r#type == PanelType::Timeseries {
            let custom = defaults.custom.as_ref().expect(at);
            assert!(
                custom.thresholds_style.is_some(),
                "{at}: the bar is not drawn"
            );
        }
    });
}

/// Charts hide series that are 0 all the time; lists of the moment leave zeros out.
#[test]
fn zero_series_are_hidden() {
    each(|_, panel, at| {
        if panel.r#type == PanelType::Timeseries {
            let overrides = &panel.field_config.as_ref().expect(at).overrides;
            let hidden = overrides
                .iter()
                .any(|o| matches!(&o.matcher, Matcher::ByValue(by) if by.reducer == "allIsZero"));
            assert!(hidden, "{at}");
        }
    });
}
