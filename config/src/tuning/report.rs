//! The 39 settings as `tunings --json` and `GET /crucible/tunings` show them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ProfileName, TuningGroup, TuningId, TuningMechanism};

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
    /// The names of the engines that it is meant for, with commas; the kind where none is
    /// configured.
    pub engine: String,
    /// The way in which the setting reaches the engine.
    pub mechanism: TuningMechanism,
    /// The state on the running engines; null where no instance was asked.
    pub state: Option<TuningState>,
    /// The source of the state, with what was found there.
    pub evidence: Option<String>,
    /// The advice on what to do, or the option that has the effect instead.
    pub advice: Option<String>,
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
