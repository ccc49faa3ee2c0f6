//! What the doctor finds: faults of engines, settings that are not in effect, prompts that were read again.

use crucible_config::tuning::{TuningReport, TuningState};
use crucible_documents::{FindingDoc, StateDoc, VerifiedDoc, state::BrokenPrefixDoc};

use super::{
    super::watched::WatchedInstance,
    pane::{PaneCell, PaneColumn, PaneKind, PaneRow, TextTone, TopPane, detail},
};
use crate::output::plural;

const COLUMNS: &[PaneColumn] = &[
    PaneColumn::text("", (12, 16), 0),
    PaneColumn::rest("", (16, 28), 1),
];

/// The word of a finding that the broken prefixes of the state tell in more detail.
const PREFIX_FAULT: &str = "prompt_read_again";

pub(super) fn pane(watched: &WatchedInstance) -> TopPane {
    let empty = StateDoc::default();
    let state = watched.state.as_ref().map_or(&empty, |(state, _)| state);
    let mut rows: Vec<PaneRow> = Vec::new();
    let mut out_of_effect = 0;
    if let Some(settings) = &watched.settings {
        let faults = settings
            .findings
            .iter()
            .filter(|finding| finding.fault != PREFIX_FAULT);
        rows.extend(faults.map(fault));
        let settings = out_of_effect_rows(settings);
        out_of_effect = settings.len();
        rows.extend(settings);
    }
    rows.extend(state.prefixes.iter().map(prefix));
    let looked = watched.settings.is_some();
    let findings = plural(rows.len(), "finding", "findings");
    let (long, empty) = match (looked, out_of_effect) {
        (false, _) => (
            "Doctor: looking at the settings".to_owned(),
            "The settings are being looked at.",
        ),
        (true, 0) => (format!("Doctor: {findings}"), "All is as it should be."),
        (true, several) => (
            format!("Doctor: {findings}, settings out of effect: {several}"),
            "",
        ),
    };
    TopPane {
        kind: PaneKind::Findings,
        titles: vec![long, format!("Doctor: {}", rows.len()), "Doctor".to_owned()],
        columns: COLUMNS,
        rows,
        empty: PaneCell::new(empty).in_tone(TextTone::Muted),
    }
}

fn fault(finding: &FindingDoc) -> PaneRow {
    PaneRow {
        key: format!(
            "finding {} {} {}",
            finding.engine, finding.fault, finding.found
        ),
        cells: vec![
            PaneCell::new(&finding.engine).in_tone(TextTone::Bad),
            PaneCell::new(&format!(
                "{}: {}",
                finding.fault.replace('_', " "),
                finding.found
            )),
        ],
        details: vec![
            detail("engine", &finding.engine),
            detail("fault", &finding.fault.replace('_', " ")),
            detail("asked", &finding.asked),
            detail("found", &finding.found),
            detail("read from", &finding.read_from),
            detail("fix", &finding.fix),
        ],
    }
}

fn out_of_effect_rows(settings: &VerifiedDoc) -> Vec<PaneRow> {
    let TuningReport { tunings, .. } = &settings.report;
    let failed = tunings
        .iter()
        .filter(|row| row.state == Some(TuningState::NotInEffect));
    failed
        .map(|row| {
            let id = row.id.to_string();
            let evidence = row.evidence.clone().unwrap_or_default();
            let advice = row.advice.clone().unwrap_or_default();
            PaneRow {
                key: format!("setting {id}"),
                cells: vec![
                    PaneCell::new(&id).in_tone(TextTone::Bad),
                    PaneCell::new(&format!("not in effect: {evidence}")),
                ],
                details: vec![
                    detail("setting", &id),
                    detail("value", &row.value.to_string()),
                    detail("state", "not in effect"),
                    detail("found", &evidence),
                    detail("do", &advice),
                ],
            }
        })
        .collect()
}

fn prefix(broken: &BrokenPrefixDoc) -> PaneRow {
    let place = format!("{}/{}", broken.engine, broken.model);
    let cached = match (broken.cached_tokens, broken.prompt_tokens) {
        (Some(cached), Some(prompt)) => format!("{cached} of {prompt} tokens were cached"),
        _ => "how much was cached is not known".to_owned(),
    };
    PaneRow {
        key: format!("prefix {} {place}", broken.client),
        cells: vec![
            PaneCell::new(&broken.client).in_tone(TextTone::Warn),
            PaneCell::new(&format!("prompt read again, {}", broken.differs)),
        ],
        details: vec![
            detail("client", &broken.client),
            detail("answered by", &place),
            detail("prompt read again", &broken.differs),
            detail("turns that differed", &broken.turns.to_string()),
            detail("last such turn", &cached),
            detail("fix", &broken.fix),
        ],
    }
}
