//! The command `crucible tunings`, which lists the 39 settings, with their states where an instance
//! is running.

use bytesize::ByteSize;
use crucible_config::{
    kind::SettingKind,
    tuning::{ReportedTuning, TuningReport, TuningState},
};
use serde_json::Value;

use crate::{
    CommandFailure, CommonArgs, OutputArgs, instance,
    output::{table, to_json, write_stdout},
    runtime::runtime,
    sources,
};

/// Runs `crucible tunings`: prints the settings of the profile and whether each of them is in effect.
///
/// # Errors
/// Exit code 2 where the configuration is wrong.
pub fn run(common: &CommonArgs, output: OutputArgs) -> Result<(), CommandFailure> {
    let loaded = sources::loaded(common)?;
    let verified = runtime()?.block_on(async {
        let instance = instance::find(&loaded.config).await?;
        let verified = instance.tunings().await;
        if verified.is_none() {
            let instead = "the settings are shown without their states";
            instance::warn_unanswered(&instance, "GET /crucible/tunings", instead);
        }
        verified
    });
    if output.json {
        write_stdout(&match &verified {
            Some(verified) => to_json(verified)?,
            None => to_json(&loaded.config.tuning_report())?,
        });
        return Ok(());
    }
    let report = verified.map_or_else(|| loaded.config.tuning_report(), |verified| verified.report);
    write_stdout(&readable(&report));
    Ok(())
}

fn readable(report: &TuningReport) -> String {
    let rows = &report.tunings;
    let asked = rows.iter().any(|row| row.state.is_some());
    let mut cells = vec![vec![
        "#".to_owned(),
        "setting".to_owned(),
        "value".to_owned(),
        "reaches the engine by".to_owned(),
    ]];
    if asked {
        cells[0].extend(["state".to_owned(), "evidence".to_owned()]);
    }
    for row in rows {
        let mut line = vec![
            row.number.to_string(),
            row.id.to_string(),
            value_for_people(row),
            row.mechanism.as_str().replace('_', " "),
        ];
        if asked {
            line.push(
                row.state
                    .map_or_else(String::new, |s| s.as_str().to_owned()),
            );
            line.push(row.evidence.clone().unwrap_or_default());
        }
        cells.push(line);
    }
    let note = if asked {
        tally(rows)
    } else {
        "No instance answered at the configured address, so no state is known.".to_owned()
    };
    format!("{}\n\n{note}", table(&cells))
}

/// Returns the number of rows in each state, in words.
pub(crate) fn tally(rows: &[ReportedTuning]) -> String {
    let counts = TuningState::ALL.iter().map(|state| {
        let count = rows.iter().filter(|row| row.state == Some(*state)).count();
        format!("{count} {}", state.as_str().replace('_', " "))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// Returns a row's value in the unit of its kind.
pub(crate) fn value_for_people(row: &ReportedTuning) -> String {
    match (row.id.row().kind, row.value.as_u64()) {
        (SettingKind::Duration { .. }, Some(seconds)) => format!("{seconds} s"),
        (SettingKind::Size { .. }, Some(bytes)) if bytes < 1_000_000 => format!("{bytes} B"),
        (SettingKind::Size { .. }, Some(bytes)) => ByteSize::b(bytes).display().si().to_string(),
        _ => match &row.value {
            Value::Null => String::new(),
            Value::String(text) if !text.is_empty() => text.clone(),
            other => other.to_string(),
        },
    }
}
