//! The rows and findings of `doctor` as text for a terminal.

use std::fmt::Write as _;

use crucible_config::tuning::{ReportedTuning, TuningGroup, TuningState};
use crucible_documents::VerifiedDoc;

use crate::{
    output::table,
    tunings::{tally, value_for_people},
};

/// Returns the rows in three groups, then the findings, then the number of rows in each state.
pub(super) fn readable(verified: &VerifiedDoc, from_instance: bool) -> String {
    let all = &verified.report.tunings;
    let of = |group: TuningGroup| all.iter().filter(move |row| row.group == group);
    let mut out = String::new();
    for group in TuningGroup::ALL {
        let cells: Vec<Vec<String>> = of(group).map(cells).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} ({})\n{}\n",
            title(group),
            cells.len(),
            table(&cells)
        );
    }
    for row in all.iter().filter(|row| failed(row)) {
        let _ = writeln!(
            out,
            "{} (row {}) is not in effect\n  {}\n  fix: {}\n",
            row.id,
            row.number,
            row.evidence
                .as_deref()
                .unwrap_or_default()
                .replace("; ", "\n  "),
            row.advice.as_deref().unwrap_or_default(),
        );
    }
    for finding in &verified.findings {
        let _ = writeln!(
            out,
            "{}: {}\n  asked {}\n  found {}\n  read from {}\n  fix: {}\n",
            finding.engine,
            finding.fault.replace('_', " "),
            finding.asked,
            finding.found,
            finding.read_from,
            finding.fix,
        );
    }
    if !from_instance {
        out.push_str(
            "No instance answered at the configured address: the engines were read directly, and \
             nobody enforces Crucible's own settings.\n\n",
        );
    }
    let counts = TuningGroup::ALL.map(|group| of(group).count().to_string());
    let _ = write!(
        out,
        "{} = {} settings: {}",
        counts.join(" + "),
        all.len(),
        tally(all)
    );
    out
}

const fn title(group: TuningGroup) -> &'static str {
    match group {
        TuningGroup::Lmstudio => "LM Studio",
        TuningGroup::Ollama => "Ollama",
        TuningGroup::Environment => "Environment of Ollama",
    }
}

fn failed(row: &ReportedTuning) -> bool {
    row.state == Some(TuningState::NotInEffect)
}

fn cells(row: &ReportedTuning) -> Vec<String> {
    let id = row.id.as_str();
    let key = id.split_once('.').map_or(id, |(_, key)| key);
    let state = row.state.map_or("", TuningState::as_str);
    vec![
        format!("{:>4}", row.number),
        key.to_owned(),
        value_for_people(row),
        state.replace('_', " "),
        proof(row),
    ]
}

/// Returns the evidence for a row, or the reason why it has none and the way to get some. A row
/// that is wrong has a paragraph of its own.
fn proof(row: &ReportedTuning) -> String {
    if failed(row) {
        return String::new();
    }
    let proved = matches!(
        row.state,
        Some(TuningState::InEffect | TuningState::Superseded)
    );
    let evidence = row.evidence.as_deref().unwrap_or_default();
    let mut parts: Vec<String> = evidence
        .split("; ")
        .filter(|part| !part.starts_with("asked "))
        .filter(|part| proved || !part.starts_with("read from "))
        .map(str::to_owned)
        .collect();
    if row.state == Some(TuningState::Unverifiable)
        && let Some(advice) = &row.advice
    {
        parts.push(format!("advice: {advice}"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verified() -> VerifiedDoc {
        let row = |number: u32, id: &str, state: &str, evidence: &str| {
            json!({
                "id": id, "group": id.split('.').next(), "number": number, "value": 8,
                "engine": "e", "mechanism": "policy", "state": state, "evidence": evidence,
                "advice": "ollama stop m",
            })
        };
        let document = json!({
            "profile": "hybrid",
            "tunings": [
                row(2, "lmstudio.gpu_layers", "in_effect", "asked 8; found 8; read from a list"),
                row(21, "ollama.max_loaded_models", "not_in_effect", "asked 8; found 64; read from /proc/7/cmdline"),
                row(32, "environment.OLLAMA_NUM_GPU", "not_applicable", "one node; read from /sys"),
            ],
            "findings": [{
                "engine": "ollama", "fault": "old_version", "asked": "0.30.0", "found": "0.22.0",
                "read_from": "GET /api/version", "fix": "update Ollama",
            }],
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_failing_row_tells_asked_found_where_and_one_fix() {
        let told = readable(&verified(), true);
        let expected = "ollama.max_loaded_models (row 21) is not in effect\n  asked 8\n  found 64\n  \
                        read from /proc/7/cmdline\n  fix: ollama stop m\n";
        assert!(told.contains(expected), "{told}");
        assert!(
            told.contains(
                "ollama: old version\n  asked 0.30.0\n  found 0.22.0\n  \
                 read from GET /api/version\n  fix: update Ollama"
            ),
            "{told}"
        );
        assert!(
            told.contains("32  OLLAMA_NUM_GPU  8  not applicable  one node"),
            "{told}"
        );
        let last = told.lines().last().unwrap();
        assert_eq!(
            last,
            "1 + 1 + 1 = 3 settings: 1 in effect, 1 not in effect, 1 not applicable, \
             0 unverifiable, 0 superseded"
        );
        assert!(readable(&verified(), false).contains("No instance answered"));
    }
}
