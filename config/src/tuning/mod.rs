//! The 39 settings of the hybrid profile: one static table.
//!
//! The parser's key names, the environment names, the JSON schema, the `tunings` output and the
//! reference page are all derived from [`TUNINGS`], so a row exists once.

mod environment;
mod lmstudio;
mod ollama;
mod report;

pub use report::{Report, Reported, State, report};
use serde::Serialize;

use crate::{checked::ProfileName, kind::Kind};

/// Whose settings a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Rows 1-20.
    Lmstudio,
    /// Rows 21-31.
    Ollama,
    /// Rows 32-39: environment of the Ollama process.
    Environment,
}

/// The way on which a row's intent really reaches an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A field of the request body.
    RequestBody,
    /// `options` of Ollama's native API.
    OllamaOptions,
    /// `POST /api/v1/models/load` of LM Studio.
    LmstudioLoad,
    /// Crucible's own behaviour.
    Policy,
    /// Environment of the engine's process.
    ProcessEnvironment,
    /// The operating system: cgroup, NUMA policy.
    OperatingSystem,
    /// LM Studio's window or its settings file.
    LmstudioInterface,
    /// LM Studio's WebSocket API.
    Websocket,
    /// Which model is chosen.
    ModelChoice,
    /// There is no knob.
    None,
}

/// One of the 39 settings.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// 1..=39.
    pub number: u8,
    /// `lmstudio.gpu_memory_fraction`, `environment.OLLAMA_NUM_GPU`.
    pub id: &'static str,
    /// Whose it is.
    pub group: Group,
    /// Type and range.
    pub kind: Kind,
    /// The literal value of the profile `hybrid`, as text that `kind` reads.
    pub value: &'static str,
    /// How it reaches the engine today.
    pub mechanism: Mechanism,
    /// One line.
    pub short: &'static str,
    /// The decided meaning.
    pub meaning: &'static str,
    /// How it is proved.
    pub verified: &'static str,
    /// Engine versions for which this was established.
    pub engines: &'static str,
    /// The real knob, where the named one does not exist.
    pub superseded_by: Option<&'static str>,
}

/// All rows in order.
pub static TUNINGS: [Row; 39] = join();

/// The row of that id.
pub fn row(id: &str) -> Option<&'static Row> {
    TUNINGS.iter().find(|row| row.id == id)
}

const fn join() -> [Row; 39] {
    let mut all = [lmstudio::ROWS[0]; 39];
    let mut i = 0;
    while i < 39 {
        all[i] = if i < 20 {
            lmstudio::ROWS[i]
        } else if i < 31 {
            ollama::ROWS[i - 20]
        } else {
            environment::ROWS[i - 31]
        };
        i += 1;
    }
    all
}

// === impl Group ===

impl Group {
    /// All of them, in table order.
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

// === impl Mechanism ===

impl Mechanism {
    /// The word in JSON.
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

// === impl Row ===

impl Row {
    /// The last part of the id: the key in `[tuning.*]`.
    pub fn key(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(_, key)| key)
    }

    /// The dotted path in `crucible.toml`.
    pub fn path(&self) -> String {
        format!("tuning.{}", self.id)
    }

    /// The value in a profile; `None` where it sets nothing.
    pub fn literal(&self, profile: ProfileName) -> Option<&'static str> {
        match (profile, self.number) {
            (ProfileName::Agent, 13 | 27) => Some("32768"),
            (ProfileName::Agent, 14..=17) => None,
            _ => Some(self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn twenty_and_eleven_and_eight() {
        let count = |group| TUNINGS.iter().filter(|row| row.group == group).count();
        assert_eq!(count(Group::Lmstudio), 20);
        assert_eq!(count(Group::Ollama), 11);
        assert_eq!(count(Group::Environment), 8);
    }

    #[test]
    fn numbers_and_ids_are_unique_and_in_order() {
        let ids: HashSet<_> = TUNINGS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), 39);
        for (i, row) in TUNINGS.iter().enumerate() {
            assert_eq!(usize::from(row.number), i + 1, "{}", row.id);
            assert!(row.id.starts_with(row.group.as_str()), "{}", row.id);
        }
    }

    #[test]
    fn every_literal_is_a_value_of_its_kind() {
        for row in &TUNINGS {
            for profile in [ProfileName::Hybrid, ProfileName::Agent] {
                if let Some(text) = row.literal(profile) {
                    assert!(row.kind.read_text(text).is_ok(), "{} = {text}", row.id);
                }
            }
        }
    }

    #[test]
    fn the_five_knobs_that_do_not_exist_name_the_real_one() {
        let fiction: Vec<u8> = TUNINGS
            .iter()
            .filter(|row| row.superseded_by.is_some())
            .map(|row| row.number)
            .collect();
        assert_eq!(fiction, [31, 32, 33, 38, 39]);
    }
}
