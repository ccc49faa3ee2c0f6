//! The Grafana dashboards of Crucible, generated from one description, and their checks.
//!
//! The description is three files, `overview`, `engines` and `streams`: rows of panels with a title, a
//! sentence and queries. The table of metrics (`crucible::metrics::FAMILIES`) is the source of names, labels,
//! units and meanings; a name that is not in it ends the generation.
//!
//! ```text
//! UPDATE_DASHBOARDS=1 cargo test -p crucible-dashboards
//! ```
//!
//! writes `dashboards/grafana/dashboards/*.json`. Without the variable the test compares them.

#![expect(
    clippy::panic,
    reason = "a description that names what does not exist ends the generation"
)]

mod common;
mod engines;
mod fields;
mod judgement;
mod layout;
mod options;
mod overview;
mod panel;
mod query;
mod schema;
mod streams;

#[cfg(test)]
mod checks;

use std::path::{Path, PathBuf};

use schema::Dashboard;

/// One query of one panel, ready for a Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelQuery {
    /// The dashboard's title and the panel's.
    pub panel: String,
    /// The expression as Grafana gets it.
    pub template: String,
    /// The expression with every variable replaced: all values, 15 s as interval of a rate.
    pub expr: String,
}

/// The folder `dashboards/` of the repository.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards")
}

fn dashboards() -> [Dashboard; 3] {
    [overview::overview(), engines::engines(), streams::streams()]
}

/// Every query of every panel of all dashboards.
pub fn queries() -> Vec<PanelQuery> {
    let mut queries = Vec::new();
    for dashboard in dashboards() {
        for panel in &dashboard.panels {
            queries.extend(panel.targets.iter().map(|target| PanelQuery {
                panel: format!("{}: {}", dashboard.title, panel.title),
                template: target.expr.clone(),
                expr: substitute(&target.expr),
            }));
        }
    }
    queries
}

/// The variables that ask Prometheus: the label and the series whose values of it they offer, with all other
/// variables replaced.
pub fn variables() -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for dashboard in dashboards() {
        for variable in dashboard.templating.list {
            let inner = variable.query.strip_prefix("label_values(");
            if let Some((series, label)) = inner.and_then(|inner| inner.rsplit_once(", ")) {
                let label = label.trim_end_matches(')').to_owned();
                variables.push((label, substitute(series)));
            }
        }
    }
    variables
}

/// The expression with the variables of the dashboards replaced.
pub fn substitute(template: &str) -> String {
    let mut expr = template
        .replace("$__rate_interval", "15s")
        .replace("$__range", "1h");
    for variable in ["$job", "$instance", "$engine", "$model"] {
        expr = expr.replace(variable, ".*");
    }
    expr
}
