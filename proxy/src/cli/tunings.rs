//! `crucible tunings`: the 39 rows, with their states where an instance is running.

use bytesize::ByteSize;
use crucible_config::{
    Config,
    kind::Kind,
    tuning::{self, TuningId, TuningState},
};
use serde_json::Value;

use super::{
    Common, Failure,
    output::{say, table},
    running,
    serve::runtime,
    sources,
};

pub(super) fn run(common: &Common, as_json: bool) -> Result<(), Failure> {
    let loaded = sources::loaded(common)?;
    let running = runtime()?.block_on(ask(&loaded.config));
    let report = match running {
        Some(report) => report,
        None => serde_json::to_value(tuning::report(&loaded.config))
            .map_err(|e| Failure::wrong(e.to_string()))?,
    };
    if as_json {
        say(&report.to_string());
    } else {
        say(&readable(&report));
    }
    Ok(())
}

/// What a running instance at the configured address says.
pub(super) async fn ask(config: &Config) -> Option<Value> {
    let report = running::ask(config, "/crucible/tunings").await?;
    (report["tunings"].as_array()?.len() == 39).then_some(report)
}

fn readable(report: &Value) -> String {
    let rows = report["tunings"].as_array().cloned().unwrap_or_default();
    let asked = rows.iter().any(|row| !row["state"].is_null());
    let mut cells = vec![vec![
        "#".to_owned(),
        "setting".to_owned(),
        "value".to_owned(),
        "reaches the engine by".to_owned(),
    ]];
    if asked {
        cells[0].extend(["state".to_owned(), "evidence".to_owned()]);
    }
    for row in &rows {
        let mut line = vec![
            text(&row["number"]),
            text(&row["id"]),
            shown(row),
            text(&row["mechanism"]).replace('_', " "),
        ];
        if asked {
            line.extend([text(&row["state"]), text(&row["evidence"])]);
        }
        cells.push(line);
    }
    let note = if asked {
        tally(&rows)
    } else {
        "No instance answered at the configured address, so no state is known.".to_owned()
    };
    format!("{}\n\n{note}", table(&cells))
}

/// How many rows are in which state.
pub(super) fn tally(rows: &[Value]) -> String {
    TuningState::ALL
        .iter()
        .map(|state| {
            let count = rows
                .iter()
                .filter(|row| row["state"] == state.as_str())
                .count();
            format!("{count} {}", state.as_str().replace('_', " "))
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// A row's value for people, in the unit of its kind.
pub(super) fn shown(row: &Value) -> String {
    let value = &row["value"];
    let kind = row["id"]
        .as_str()
        .and_then(TuningId::named)
        .map(|id| id.row().kind);
    match (kind, value.as_u64()) {
        (Some(Kind::Duration { .. }), Some(seconds)) => format!("{seconds} s"),
        (Some(Kind::Size { .. }), Some(bytes)) if bytes < 1_000_000 => format!("{bytes} B"),
        (Some(Kind::Size { .. }), Some(bytes)) => ByteSize::b(bytes).display().si().to_string(),
        _ => text(value),
    }
}

/// A value for people.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
