//! The kinds of values, and how a value is read from TOML or from text.
//!
//! Every key of the file and every one of the 39 settings has one [`SettingKind`]: it reads the value, says in
//! words what it expects, and gives the JSON schema. Integers without a unit are seconds and bytes:
//!
//! ```
//! use crucible_config::kind::SettingKind;
//!
//! let kind = SettingKind::Duration { min_ms: 1000 };
//! assert!(kind.expected().starts_with("a duration of at least 1s, such as \"30s\""));
//! ```

mod rate;
mod read;
mod typed;
mod value;

use std::time::Duration;

use serde_json::json;

pub use self::rate::Rate;
pub(crate) use self::read::{describe, quoted};
pub use self::read::{misspelled, nearest};
pub(crate) use self::typed::{SettingType, ValueShape, doc_line, of_type};
pub use self::value::Value;

/// The type and the range of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingKind {
    /// The words `true` and `false`.
    Boolean,
    /// An integer in a range.
    Integer {
        /// The smallest number that is taken.
        min: i64,
        /// The largest number that is taken.
        max: i64,
    },
    /// A text that holds an integer (environment values are strings).
    IntegerText {
        /// The smallest number that is taken.
        min: i64,
        /// The largest number that is taken.
        max: i64,
    },
    /// A number in a range.
    Number {
        /// The smallest number that is taken.
        min: f64,
        /// The largest number that is taken.
        max: f64,
    },
    /// A duration such as `30s` or `5m`, or an integer of seconds.
    Duration {
        /// The shortest duration in milliseconds.
        min_ms: u64,
    },
    /// A size such as `16GB` or `1GiB`, or an integer of bytes.
    Size {
        /// The smallest size in bytes.
        min: u64,
        /// The largest size in bytes.
        max: u64,
    },
    /// A text of any content.
    Text,
    /// A text that must not be shown when it is wrong.
    Secret,
    /// One word of a list.
    OneOf(&'static [&'static str]),
    /// A number of requests in a period, such as `60/min`.
    Rate,
    /// An address and port, such as `127.0.0.1:8484`.
    Address,
    /// One address or a list of them.
    Addresses,
    /// A list of texts.
    Texts,
}

// === impl SettingKind ===

impl SettingKind {
    /// The words that say what would be right, for messages and pages.
    pub fn expected(&self) -> String {
        match self {
            Self::Boolean => "true or false".into(),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::IntegerText { min, max } => {
                format!(
                    "a string with an integer from {min} to {max}, such as \"{}\"",
                    (*min).max(2)
                )
            }
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Duration { min_ms } => format!(
                "a duration of at least {}, such as \"30s\" or \"5m\", or an integer of seconds",
                humantime::format_duration(Duration::from_millis(*min_ms))
            ),
            Self::Size { min, max } if *max < u64::MAX / 4 => {
                format!("a size from {min} to {max} bytes, such as \"16KB\" or \"8MiB\"")
            }
            Self::Size { .. } => {
                "a size, such as \"16GB\" or \"512MiB\", or an integer of bytes".into()
            }
            Self::Text => "a string".into(),
            Self::Secret => "\"sha256:\" and 64 hexadecimal digits".into(),
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Rate => "a rate such as \"60/min\" (s, min, h or day)".into(),
            Self::Address => "an address and port, such as \"127.0.0.1:8484\"".into(),
            Self::Addresses => {
                "an address and port, such as \"127.0.0.1:8484\", or a list of them".into()
            }
            Self::Texts => "a list of strings".into(),
        }
    }

    /// Whether one environment variable can hold it.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::Texts)
    }

    /// The JSON schema of the value.
    pub(crate) fn schema(&self) -> serde_json::Value {
        match self {
            Self::Boolean => json!({"type": "boolean"}),
            Self::Integer { min, max } => {
                json!({"type": "integer", "minimum": min, "maximum": max})
            }
            Self::IntegerText { .. } => json!({"type": "string", "pattern": "^-?[0-9]+$"}),
            Self::Number { min, max } => json!({"type": "number", "minimum": min, "maximum": max}),
            Self::Duration { .. } => json!({
                "anyOf": [
                    {"type": "string", "pattern": "^[0-9]+ ?[a-z]*( ?[0-9]+ ?[a-z]+)*$"},
                    {"type": "integer", "minimum": 0},
                ],
            }),
            Self::Size { min, max } => json!({
                "anyOf": [
                    {"type": "string", "pattern": "^[0-9.]+ ?([kKmMgGtTpP]?i?[bB]?)$"},
                    {"type": "integer", "minimum": min, "maximum": max},
                ],
            }),
            Self::Text | Self::Address => json!({"type": "string"}),
            Self::Secret => json!({"type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$"}),
            Self::OneOf(words) => json!({"type": "string", "enum": words}),
            Self::Rate => {
                json!({"type": "string", "pattern": "^[0-9]+ ?/ ?(s|sec|min|m|h|hour|d|day)$"})
            }
            Self::Addresses => json!({
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                ],
            }),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
        }
    }
}

#[cfg(test)]
mod tests;
