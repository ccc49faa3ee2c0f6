//! The report of a configuration's 39 settings.

use crate::{
    checked::{Config, EngineKind},
    tuning::{ReportedTuning, TUNINGS, TuningGroup, TuningReport},
};

// === impl Config ===

impl Config {
    /// The 39 settings with their effective values. States, evidence and the advice that follows
    /// from them are filled in by the one who asks the engines.
    pub fn tuning_report(&self) -> TuningReport {
        let tunings = TUNINGS
            .iter()
            .map(|row| ReportedTuning {
                id: row.id,
                group: row.group,
                number: row.id.number(),
                value: self.tuning.value(row.id),
                engine: engines(self, row.group),
                mechanism: row.mechanism,
                state: None,
                evidence: None,
                advice: row
                    .superseded_by
                    .map(|knob| format!("superseded by {knob}")),
            })
            .collect();
        TuningReport {
            profile: self.profile,
            tunings,
        }
    }
}

fn engines(config: &Config, group: TuningGroup) -> String {
    let (kind, word) = match group {
        TuningGroup::Lmstudio => (EngineKind::Lmstudio, "lmstudio"),
        TuningGroup::Ollama | TuningGroup::Environment => (EngineKind::Ollama, "ollama"),
    };
    let names: Vec<&str> = config
        .engines
        .iter()
        .filter(|e| e.kind == kind)
        .map(|e| &*e.name)
        .collect();
    if names.is_empty() {
        word.to_owned()
    } else {
        names.join(",")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tuning::TuningState;

    #[test]
    fn every_row_shows_the_literal_value_of_the_profile() {
        let report = Config::builtin().tuning_report();
        assert_eq!(report.tunings.len(), 39);
        for (row, shown) in TUNINGS.iter().zip(&report.tunings) {
            let literal = row.kind.read_text(row.hybrid).unwrap().to_json();
            assert_eq!(shown.value, literal, "{}", row.id);
        }
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let report = serde_json::to_value(Config::builtin().tuning_report()).unwrap();
        assert_eq!(report["profile"], "hybrid");
        let expected = json!({
            "id": "environment.CUDA_VISIBLE_DEVICES", "group": "environment", "number": 34,
            "value": "", "engine": "ollama", "mechanism": "process_environment",
            "state": null, "evidence": null, "advice": null,
        });
        assert_eq!(report["tunings"][33], expected);
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let mut report = Config::builtin().tuning_report();
        report.tunings[0].state = Some(TuningState::NotInEffect);
        report.tunings[0].evidence = Some("asked 0.8; found 1".to_owned());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<TuningReport>(&text).unwrap(), report);
    }

    #[test]
    fn states_are_words_with_underscores() {
        assert_eq!(json!(TuningState::NotInEffect), "not_in_effect");
    }
}
