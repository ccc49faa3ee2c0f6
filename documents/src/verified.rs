//! The 39 settings as they were found on the engines, with what else is wrong there:
//! `GET /crucible/tunings` and `doctor --json`.
//!
//! The rows alone, without states, are [`TuningReport`].

use crucible_config::tuning::TuningReport;
use crucible_router::verify::EngineFault;
use serde::{Deserialize, Serialize};

/// The settings with their states, and findings beyond them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedDoc {
    /// The rows, each with its state.
    #[serde(flatten)]
    pub report: TuningReport,
    /// The faults beyond the rows that a person should know of.
    pub findings: Vec<FindingDoc>,
}

/// Something that is wrong with an engine and makes no row wrong by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingDoc {
    /// The engine's name.
    pub engine: String,
    /// The fault in one word.
    pub fault: String,
    /// The state that Crucible relies on or asks for.
    pub asked: String,
    /// The state that was found instead.
    pub found: String,
    /// The source that it was read from.
    pub read_from: String,
    /// One command or click that mends it.
    pub fix: String,
}

// === impl VerifiedDoc ===

impl VerifiedDoc {
    /// The document of what the verification of the engines found.
    pub fn new(report: TuningReport, engine_faults: Vec<EngineFault>) -> Self {
        Self {
            report,
            findings: engine_faults.into_iter().map(FindingDoc::from).collect(),
        }
    }
}

// === impl FindingDoc ===

impl From<EngineFault> for FindingDoc {
    fn from(remark: EngineFault) -> Self {
        Self {
            engine: remark.engine,
            fault: remark.fault.to_owned(),
            asked: remark.asked,
            found: remark.found,
            read_from: remark.read_from,
            fix: remark.fix,
        }
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::Config;

    use super::*;

    #[test]
    fn findings_follow_the_rows() {
        let remark = EngineFault {
            engine: "o".to_owned(),
            fault: "old_version",
            asked: "0.30.0".to_owned(),
            found: "0.22.0".to_owned(),
            read_from: "GET /api/version".to_owned(),
            fix: "update Ollama".to_owned(),
        };
        let document = VerifiedDoc::new(Config::builtin().tuning_report(), vec![remark]);
        let written = serde_json::to_string(&document).unwrap();
        assert!(written.starts_with("{\"profile\":\"hybrid\",\"tunings\":[{\"id\":"));
        assert!(
            written.ends_with(
                "],\"findings\":[{\"engine\":\"o\",\"fault\":\"old_version\",\"asked\":\"0.30.0\",\
                 \"found\":\"0.22.0\",\"read_from\":\"GET /api/version\",\
                 \"fix\":\"update Ollama\"}]}"
            ),
            "{written}"
        );
        assert_eq!(
            serde_json::from_str::<VerifiedDoc>(&written).unwrap(),
            document
        );
    }
}
