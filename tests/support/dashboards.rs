//! The shipped dashboard as data: its panels and their queries, ready for a Prometheus.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// One query of one panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Title of the panel.
    pub panel: String,
    /// The expression as written.
    pub template: String,
    /// The expression with every variable replaced: all values, 15 s as rate interval.
    pub expr: String,
}

/// The folder `dashboards/`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// The dashboard's JSON.
pub fn dashboard() -> Result<Value> {
    let path = folder().join("grafana/dashboards/crucible.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// The dashboard's panels without its rows.
pub fn panels() -> Result<Vec<Value>> {
    let dashboard = dashboard()?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    Ok(panels
        .iter()
        .filter(|panel| panel["type"] != "row")
        .cloned()
        .collect())
}

/// Every query of every panel.
pub fn queries() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for panel in panels()? {
        let title = panel["title"].as_str().context("panel without title")?;
        for target in panel["targets"].as_array().context("no targets")? {
            let template = target["expr"].as_str().context("target without expr")?;
            queries.push(Query {
                panel: title.to_owned(),
                template: template.to_owned(),
                expr: substitute(template),
            });
        }
    }
    Ok(queries)
}

/// The expression with Grafana's variables replaced.
pub fn substitute(template: &str) -> String {
    let mut expr = template.replace("$__rate_interval", "15s");
    for variable in ["$job", "$instance", "$engine", "$model"] {
        expr = expr.replace(variable, ".+");
    }
    expr
}
