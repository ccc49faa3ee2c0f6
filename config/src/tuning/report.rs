//! The 39 rows as `tunings --json` and `GET /crucible/tunings` show them.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Group, Mechanism, Row, TUNINGS};
use crate::checked::{Config, EngineKind, ProfileName};

/// The one state in which a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Proved on the running engine.
    InEffect,
    /// Disproved.
    NotInEffect,
    /// It has no meaning here.
    NotApplicable,
    /// It cannot be seen.
    Unverifiable,
    /// Another knob does it.
    Superseded,
}

// === impl State ===

impl State {
    /// Every state, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::InEffect,
        Self::NotInEffect,
        Self::NotApplicable,
        Self::Unverifiable,
        Self::Superseded,
    ];

    /// Its word in reports and metrics.
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

/// All rows of one configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The profile under the other layers.
    pub profile: ProfileName,
    /// 39 of them, in table order.
    pub tunings: Vec<Reported>,
}

/// One row; durations in seconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reported {
    /// `lmstudio.gpu_memory_fraction`.
    pub id: &'static str,
    /// Whose it is.
    pub group: Group,
    /// 1..=39.
    pub number: u8,
    /// The effective value; null where the profile sets none.
    pub value: Value,
    /// Names of the engines that it is meant for, with commas; the kind where none is configured.
    pub engine: String,
    /// How it reaches the engine.
    pub mechanism: Mechanism,
    /// Null where no instance was asked.
    pub state: Option<State>,
    /// Where it was read and what was found.
    pub evidence: Option<String>,
    /// What to do, or which knob does it.
    pub advice: Option<String>,
}

/// The rows with their effective values; states are for the one who asks the engines.
pub fn report(config: &Config) -> Report {
    let tunings = TUNINGS
        .iter()
        .map(|row| Reported {
            id: row.id,
            group: row.group,
            number: row.number,
            value: value(config, row),
            engine: engines(config, row.group),
            mechanism: row.mechanism,
            state: None,
            evidence: None,
            advice: row
                .superseded_by
                .map(|knob| format!("superseded by {knob}")),
        })
        .collect();
    Report {
        profile: config.profile,
        tunings,
    }
}

fn engines(config: &Config, group: Group) -> String {
    let (kind, word) = match group {
        Group::Lmstudio => (EngineKind::Lmstudio, "lmstudio"),
        Group::Ollama | Group::Environment => (EngineKind::Ollama, "ollama"),
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

fn value(config: &Config, row: &Row) -> Value {
    let l = &config.tuning.lmstudio;
    let o = &config.tuning.ollama;
    match row.number {
        1 => json!(l.gpu_memory_fraction),
        2 => json!(l.gpu_layers),
        3 => json!(l.max_loaded_models),
        4 => json!(l.jit_loading),
        5 => seconds(l.model_ttl),
        6 => json!(l.auto_evict),
        7 => json!(l.batch_size),
        8 => json!(l.flash_attention),
        9 => json!(l.key_cache_quantization),
        10 => json!(l.value_cache_quantization),
        11 => json!(l.stream_buffer_size),
        12 => seconds(l.stream_timeout),
        13 => json!(l.context_length),
        14 => json!(l.temperature),
        15 => json!(l.top_p),
        16 => json!(l.frequency_penalty),
        17 => json!(l.presence_penalty),
        18 => seconds(l.keep_alive_interval),
        19 => json!(l.keep_alive_enabled),
        20 => json!(l.model_warmup),
        21 => json!(o.max_loaded_models),
        22 => json!(o.max_queue),
        23 => json!(o.num_parallel),
        24 => json!(o.memory_limit),
        25 => json!(o.num_threads),
        26 => json!(o.numa_policy),
        27 => json!(o.context_size),
        28 => json!(o.quantization),
        29 => json!(o.batch_size),
        30 => json!(o.use_mmap),
        31 => json!(o.use_mlock),
        _ => json!(config.tuning.environment.get(row.key())),
    }
}

fn seconds(duration: std::time::Duration) -> Value {
    crate::kind::Value::Duration(duration).to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_shows_the_literal_value_of_the_profile() {
        let report = report(&Config::builtin());
        assert_eq!(report.tunings.len(), 39);
        for (row, shown) in TUNINGS.iter().zip(&report.tunings) {
            let literal = row.kind.read_text(row.value).unwrap().to_json();
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
    fn states_are_words_with_underscores() {
        assert_eq!(json!(State::NotInEffect), "not_in_effect");
    }
}
