//! The 39 settings as `tunings --json` and `GET /crucible/tunings` show them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{TUNINGS, TuningGroup, TuningId, TuningMechanism};
use crate::{
    checked::{Config, EngineKind, ProfileName},
    kind,
};

/// The one state in which a setting is on the running engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TuningState {
    /// Evidence proves that the engine works with it.
    InEffect,
    /// Evidence proves that the engine works with something else.
    NotInEffect,
    /// The setting has no meaning on this machine or for these engines.
    NotApplicable,
    /// Nothing that can be read shows it.
    Unverifiable,
    /// The named knob does not exist; another one reaches the intent, and is proved itself.
    Superseded,
}

/// The 39 settings of one configuration. The same type is written by the server and read by the
/// command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuningReport {
    /// The profile that lies under the other layers.
    pub profile: ProfileName,
    /// All 39, in table order.
    pub tunings: Vec<ReportedTuning>,
}

/// One setting with its effective value, and with its state where an instance was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedTuning {
    /// The identifier, `lmstudio.gpu_memory_fraction`.
    pub id: TuningId,
    /// The group that it belongs to.
    pub group: TuningGroup,
    /// The place in the table, from 1 to 39.
    pub number: u8,
    /// The effective value, durations in seconds and sizes in bytes; null where the profile sets
    /// none.
    pub value: Value,
    /// Names of the engines that it is meant for, with commas; the kind where none is configured.
    pub engine: String,
    /// How it reaches the engine.
    pub mechanism: TuningMechanism,
    /// The state on the running engines; null where no instance was asked.
    pub state: Option<TuningState>,
    /// Where the state was read and what was found there.
    pub evidence: Option<String>,
    /// What to do, or which knob does it instead.
    pub advice: Option<String>,
}

/// How a typed value is shown in a report.
pub(super) trait ShownInReport {
    /// The value in JSON: durations in seconds, sizes in bytes, null for what is not set.
    fn to_json(&self) -> Value;
}

// === impl TuningState ===

impl TuningState {
    /// Every state, in the order in which a tally names them.
    pub const ALL: [Self; 5] = [
        Self::InEffect,
        Self::NotInEffect,
        Self::NotApplicable,
        Self::Unverifiable,
        Self::Superseded,
    ];

    /// The word in reports and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InEffect => "in_effect",
            Self::NotInEffect => "not_in_effect",
            Self::NotApplicable => "not_applicable",
            Self::Unverifiable => "unverifiable",
            Self::Superseded => "superseded",
        }
    }
}

/// The settings with their effective values. States, evidence and the advice that follows from them
/// are filled in by the one who asks the engines.
pub fn report(config: &Config) -> TuningReport {
    let tunings = TUNINGS
        .iter()
        .map(|row| ReportedTuning {
            id: row.id,
            group: row.group,
            number: row.id.number(),
            value: config.tuning.value(row.id),
            engine: engines(config, row.group),
            mechanism: row.mechanism,
            state: None,
            evidence: None,
            advice: row
                .superseded_by
                .map(|knob| format!("superseded by {knob}")),
        })
        .collect();
    TuningReport {
        profile: config.profile,
        tunings,
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

// === impl ShownInReport ===

macro_rules! shown_as_they_are {
    ($($Type:ty),*) => {
        $(impl ShownInReport for $Type {
            fn to_json(&self) -> Value {
                json!(self)
            }
        })*
    };
}

shown_as_they_are!(bool, f64, i64, u32, u64, usize, String, Option<f64>);

impl ShownInReport for Duration {
    fn to_json(&self) -> Value {
        kind::Value::Duration(*self).to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_shows_the_literal_value_of_the_profile() {
        let report = report(&Config::builtin());
        assert_eq!(report.tunings.len(), 39);
        for (row, shown) in TUNINGS.iter().zip(&report.tunings) {
            let literal = row.kind.read_text(row.hybrid).unwrap().to_json();
            assert_eq!(shown.value, literal, "{}", row.id);
        }
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let report = serde_json::to_value(report(&Config::builtin())).unwrap();
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
        let mut report = report(&Config::builtin());
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
