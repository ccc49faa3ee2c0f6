//! One row of the table of engine settings.

use serde::{Deserialize, Serialize};

use super::{ProfileName, TuningId};
use crate::kind::{SettingKind, SettingType};

/// The product whose settings a group holds; the same word stands in ids and in `[tuning.*]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TuningGroup {
    /// The 20 settings of LM Studio, rows 1-20.
    Lmstudio,
    /// The 11 settings of Ollama, rows 21-31.
    Ollama,
    /// The 8 environment variables of the Ollama process, rows 32-39.
    Environment,
}

/// The way on which a setting's intent really reaches an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TuningMechanism {
    /// A field of the request body.
    RequestBody,
    /// A member of `options` in Ollama's native API.
    OllamaOptions,
    /// A field of `POST /api/v1/models/load` of LM Studio.
    LmstudioLoad,
    /// Crucible's own behaviour; the engine is not told.
    Policy,
    /// A variable in the environment of the engine's process.
    ProcessEnvironment,
    /// The operating system: a cgroup limit or a NUMA policy.
    OperatingSystem,
    /// LM Studio's window or its settings file, which a person sets.
    LmstudioInterface,
    /// LM Studio's WebSocket API.
    Websocket,
    /// The choice among the models that are there.
    ModelChoice,
    /// Nothing: the engine has no such knob.
    None,
}

/// One of the 39 settings: an entry of the [table](super::table) as data.
#[derive(Clone, Copy, Debug)]
pub struct TuningRow {
    /// The identifier of the setting, which gives its number, key and path.
    pub id: TuningId,
    /// The group that it belongs to.
    pub group: TuningGroup,
    /// Type and range of its values.
    pub kind: SettingKind,
    /// The value of the profile `hybrid`, as text that `kind` reads.
    pub hybrid: &'static str,
    /// The value of the profile `agent`; `None` where that profile sets nothing.
    pub agent: Option<&'static str>,
    /// The way in which the setting reaches the engine today.
    pub mechanism: TuningMechanism,
    /// One line that says what it sets.
    pub short: &'static str,
    /// The sentences that say what Crucible does with the setting.
    pub meaning: &'static str,
    /// The way to prove on a running engine that the setting is in effect.
    pub verified: &'static str,
    /// Engine versions for which this was established.
    pub engines: &'static str,
    /// The real knob, where the named one does not exist in the engine.
    pub superseded_by: Option<&'static str>,
}

/// Something that holds a value for each setting, in the type of its field.
pub(crate) trait TuningSource {
    /// The value. One that is missing, or of another type, is reported as an error.
    fn value<T: SettingType + Default>(&mut self, id: TuningId) -> T;
}

// === impl TuningGroup ===

impl TuningGroup {
    /// All groups, in table order.
    pub const ALL: [Self; 3] = [Self::Lmstudio, Self::Ollama, Self::Environment];

    /// The word in ids and in `[tuning.*]`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lmstudio => "lmstudio",
            Self::Ollama => "ollama",
            Self::Environment => "environment",
        }
    }
}

// === impl TuningMechanism ===

impl TuningMechanism {
    /// Returns the word for the mechanism in documents and on pages, such as `request_body`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestBody => "request_body",
            Self::OllamaOptions => "ollama_options",
            Self::LmstudioLoad => "lmstudio_load",
            Self::Policy => "policy",
            Self::ProcessEnvironment => "process_environment",
            Self::OperatingSystem => "operating_system",
            Self::LmstudioInterface => "lmstudio_interface",
            Self::Websocket => "websocket",
            Self::ModelChoice => "model_choice",
            Self::None => "none",
        }
    }
}

// === impl TuningRow ===

impl TuningRow {
    /// Returns the value of the setting in a profile, as text. `None` comes only from `agent`, and
    /// means that the profile sets nothing, not that the value of `hybrid` holds.
    pub const fn literal(&self, profile: ProfileName) -> Option<&'static str> {
        match profile {
            ProfileName::Hybrid => Some(self.hybrid),
            ProfileName::Agent => self.agent,
        }
    }
}
