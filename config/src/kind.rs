//! Kinds of values and how they are read from TOML or from text.
//!
//! Every key of the file and every tuning row has one [`Kind`]; it reads the value, says what it
//! expects, and gives the JSON schema. Plain integers are seconds and bytes.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use toml::{Spanned, de::DeValue};

use crate::checked::Rate;

/// Type and range of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// An integer in a range.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A text that holds an integer (environment values are strings).
    IntegerText {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number in a range.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// `30s`, `5m`, or an integer of seconds.
    Duration {
        /// Shortest, in milliseconds.
        min_ms: u64,
    },
    /// `16GB`, `1GiB`, or an integer of bytes.
    Size {
        /// Smallest, in bytes.
        min: u64,
        /// Largest, in bytes.
        max: u64,
    },
    /// Any text.
    Text,
    /// A text that must not be shown when it is wrong.
    Secret,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `60/min`.
    Rate,
    /// `127.0.0.1:8484`.
    Address,
    /// One address or a list of them.
    Addresses,
    /// A list of texts.
    Texts,
}

/// A value of some [`Kind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// [`Kind::Boolean`].
    Boolean(bool),
    /// [`Kind::Integer`].
    Integer(i64),
    /// [`Kind::Number`].
    Number(f64),
    /// [`Kind::Duration`].
    Duration(Duration),
    /// [`Kind::Size`].
    Size(u64),
    /// The text kinds.
    Text(String),
    /// [`Kind::Rate`].
    Rate(Rate),
    /// The address kinds.
    Addresses(Vec<SocketAddr>),
    /// [`Kind::Texts`].
    Texts(Vec<String>),
}

/// Why a value was not read: what was found, and a hint that may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) found: String,
    pub(crate) hint: String,
}

const SHOWN_CHARS: usize = 60;

/// A text in quotes, shortened.
pub(crate) fn quoted(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        format!("{text:?}")
    } else {
        let head: String = text.chars().take(SHOWN_CHARS).collect();
        format!("{head:?}...")
    }
}

/// What a TOML value is, for `found`.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(n) => n.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => format!("the date {d}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

// === impl Kind ===

impl Kind {
    /// What would be right, in words.
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

    /// Reads a TOML value.
    pub(crate) fn read_toml(&self, value: &DeValue<'_>) -> Result<Value, Mismatch> {
        let wrong = || Mismatch {
            found: self.found(value),
            hint: String::new(),
        };
        match (self, value) {
            (Self::Boolean, DeValue::Boolean(b)) => Ok(Value::Boolean(*b)),
            (
                Self::Integer { .. }
                | Self::Number { .. }
                | Self::Duration { .. }
                | Self::Size { .. },
                DeValue::Integer(n),
            ) => {
                let digits = n.as_str().replace('_', "");
                let n = i128::from_str_radix(&digits, n.radix()).map_err(|_| wrong())?;
                self.read_integer(n).ok_or_else(|| Mismatch {
                    hint: self.percent(n),
                    ..wrong()
                })
            }
            (Self::Number { .. }, DeValue::Float(n)) => {
                let n: f64 = n.as_str().replace('_', "").parse().map_err(|_| wrong())?;
                self.read_number(n).ok_or_else(wrong)
            }
            (Self::Boolean | Self::Integer { .. } | Self::Number { .. }, DeValue::String(text)) => {
                let plain = matches!(self, Self::Boolean) || text.trim().parse::<f64>().is_ok();
                let hint = if plain {
                    "write it without quotes"
                } else {
                    "a plain number without unit and quotes"
                };
                Err(Mismatch {
                    hint: hint.into(),
                    ..wrong()
                })
            }
            (Self::IntegerText { .. } | Self::Text, DeValue::Integer(n)) => Err(Mismatch {
                hint: format!("write it in quotes: \"{n}\""),
                ..wrong()
            }),
            (Self::Texts, DeValue::Array(items)) => {
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    other => Err(Mismatch {
                        found: format!("a list with {}", describe(other)),
                        hint: String::new(),
                    }),
                });
                Ok(Value::Texts(texts.collect::<Result<_, _>>()?))
            }
            (Self::Texts, DeValue::String(text)) => Err(Mismatch {
                hint: format!("write it as a list: [{}]", quoted(text)),
                ..wrong()
            }),
            (Self::Addresses, DeValue::Array(items)) => {
                let mut all = Vec::new();
                for item in items.iter().map(Spanned::get_ref) {
                    match Self::Address.read_toml(item)? {
                        Value::Addresses(mut one) => all.append(&mut one),
                        _ => return Err(wrong()),
                    }
                }
                if all.is_empty() {
                    return Err(Mismatch {
                        found: "an empty list".into(),
                        hint: String::new(),
                    });
                }
                Ok(Value::Addresses(all))
            }
            (
                Self::IntegerText { .. }
                | Self::Duration { .. }
                | Self::Size { .. }
                | Self::Text
                | Self::Secret
                | Self::OneOf(_)
                | Self::Rate
                | Self::Address
                | Self::Addresses,
                DeValue::String(text),
            ) => self.read_text(text),
            _ => Err(wrong()),
        }
    }

    /// Reads a value from text: an environment variable, a flag, or a TOML string.
    pub(crate) fn read_text(&self, text: &str) -> Result<Value, Mismatch> {
        let wrong = |hint: String| {
            let found = match self {
                Self::Secret => format!("a string of {} characters", text.chars().count()),
                _ => quoted(text),
            };
            Mismatch { found, hint }
        };
        let plain = text.trim();
        let read = match self {
            Self::Boolean => plain.parse().ok().map(Value::Boolean),
            Self::Integer { .. } => plain.parse().ok().and_then(|n| self.read_integer(n)),
            Self::IntegerText { min, max } => plain
                .parse::<i64>()
                .ok()
                .filter(|n| (*min..=*max).contains(n))
                .map(|n| Value::Text(n.to_string())),
            Self::Number { .. } => plain.parse().ok().and_then(|n| self.read_number(n)),
            Self::Duration { min_ms } => match plain.parse::<i128>() {
                Ok(n) => self.read_integer(n),
                Err(_) => humantime::parse_duration(plain)
                    .ok()
                    .filter(|d| *d >= Duration::from_millis(*min_ms) && *d <= LONGEST)
                    .map(Value::Duration),
            },
            Self::Size { .. } => match plain.parse::<i128>() {
                Ok(n) => self.read_integer(n),
                Err(_) => plain
                    .parse::<bytesize::ByteSize>()
                    .ok()
                    .and_then(|size| self.read_integer(i128::from(size.as_u64()))),
            },
            Self::Text | Self::Secret => Some(Value::Text(text.to_owned())),
            Self::OneOf(words) => {
                if let Some(word) = words.iter().find(|w| **w == plain) {
                    Some(Value::Text((*word).to_owned()))
                } else {
                    let hint = nearest(plain, words.iter().copied())
                        .map(|word| format!("did you mean {word:?}?"))
                        .unwrap_or_default();
                    return Err(wrong(hint));
                }
            }
            Self::Rate => read_rate(plain).map(Value::Rate),
            Self::Address => match read_address(plain) {
                Ok(address) => Some(Value::Addresses(vec![address])),
                Err(hint) => return Err(wrong(hint)),
            },
            Self::Addresses => {
                let all: Result<Vec<_>, _> = plain
                    .split(',')
                    .map(|part| read_address(part.trim()))
                    .collect();
                match all {
                    Ok(all) => Some(Value::Addresses(all)),
                    Err(hint) => return Err(wrong(hint)),
                }
            }
            Self::Texts => None,
        };
        read.ok_or_else(|| wrong(String::new()))
    }

    /// JSON schema of the value.
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

    fn found(&self, value: &DeValue<'_>) -> String {
        match (self, value) {
            (Self::Secret, _) => "something that is not a hash".into(),
            _ => describe(value),
        }
    }

    fn read_integer(&self, n: i128) -> Option<Value> {
        match self {
            Self::Integer { min, max } => i64::try_from(n)
                .ok()
                .filter(|n| (*min..=*max).contains(n))
                .map(Value::Integer),
            Self::Number { .. } => {
                let n = i32::try_from(n).ok()?;
                self.read_number(f64::from(n))
            }
            Self::Duration { min_ms } => u64::try_from(n)
                .ok()
                .map(Duration::from_secs)
                .filter(|d| *d >= Duration::from_millis(*min_ms) && *d <= LONGEST)
                .map(Value::Duration),
            Self::Size { min, max } => u64::try_from(n)
                .ok()
                .filter(|n| (*min..=*max).contains(n))
                .map(Value::Size),
            _ => None,
        }
    }

    /// What is to be written for so many of a hundred where a share is asked for.
    fn percent(&self, n: i128) -> String {
        match self {
            Self::Number { min, max } if (*min, *max) == (0.0, 1.0) && (2..=100).contains(&n) => {
                format!("{n} % is {}.{:02}", n / 100, n % 100)
            }
            _ => String::new(),
        }
    }

    fn read_number(&self, n: f64) -> Option<Value> {
        match self {
            Self::Number { min, max } => (*min..=*max).contains(&n).then_some(Value::Number(n)),
            _ => None,
        }
    }
}

/// A century: longer is a slip, and it cannot overflow an instant.
const LONGEST: Duration = Duration::from_hours(876_000);

fn read_rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let count: u32 = count.trim().parse().ok().filter(|n| *n > 0)?;
    let seconds = match per.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3600,
        "d" | "day" => 86_400,
        _ => return None,
    };
    Some(Rate {
        count,
        per: Duration::from_secs(seconds),
    })
}

fn read_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = text
        .strip_prefix("localhost:")
        .and_then(|p| p.parse::<u16>().ok())
    {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    Err(if port.parse::<u16>().is_ok() {
        format!("write \"127.0.0.1:{port}\" for this machine, \"0.0.0.0:{port}\" for all")
    } else if text.parse::<std::net::IpAddr>().is_ok() {
        format!("add a port: \"{text}:8484\"")
    } else if text.contains("://") {
        "write it without the scheme".into()
    } else {
        "names are not looked up here: write the IP address of an interface".into()
    })
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|k| {
            (
                strsim::normalized_damerau_levenshtein(&word, &k.to_lowercase()),
                k,
            )
        })
        .filter(|(score, _)| *score >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

// === impl Value ===

impl Value {
    /// For JSON: durations in seconds, sizes in bytes.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Boolean(b) => json!(b),
            Self::Integer(n) => json!(n),
            Self::Number(n) => json!(n),
            Self::Duration(d) if d.subsec_nanos() == 0 => json!(d.as_secs()),
            Self::Duration(d) => json!(d.as_secs_f64()),
            Self::Size(n) => json!(n),
            Self::Text(text) => json!(text),
            Self::Rate(_) => json!(self.to_text()),
            Self::Addresses(all) if all.len() == 1 => json!(all[0].to_string()),
            Self::Addresses(all) => {
                json!(all.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            Self::Texts(all) => json!(all),
        }
    }

    /// As a person would write it in the file.
    pub fn to_text(&self) -> String {
        match self {
            Self::Boolean(b) => b.to_string(),
            Self::Integer(n) => n.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Duration(d) => format!("\"{}\"", duration_text(*d)),
            Self::Size(n) => size_text(*n),
            Self::Text(text) => format!("{text:?}"),
            Self::Rate(rate) => {
                let per = match rate.per.as_secs() {
                    1 => "s",
                    60 => "min",
                    3600 => "h",
                    _ => "day",
                };
                format!("{}/{per}", rate.count)
            }
            Self::Addresses(_) | Self::Texts(_) => self.to_json().to_string(),
        }
    }
}

fn duration_text(d: Duration) -> String {
    if d.subsec_nanos() == 0 {
        format!("{}s", d.as_secs())
    } else {
        format!("{}ms", d.as_millis())
    }
}

fn size_text(n: u64) -> String {
    for (unit, bytes) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000)] {
        if n >= bytes && n.is_multiple_of(bytes) {
            return format!("\"{}{unit}\"", n / bytes);
        }
    }
    n.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Kind = Kind::Size {
        min: 0,
        max: u64::MAX,
    };
    const DURATION: Kind = Kind::Duration { min_ms: 1 };

    #[test]
    fn sizes_are_powers_of_ten_unless_they_say_otherwise() {
        assert_eq!(SIZE.read_text("16GB"), Ok(Value::Size(16_000_000_000)));
        assert_eq!(SIZE.read_text("1GiB"), Ok(Value::Size(1 << 30)));
        assert_eq!(SIZE.read_text("512"), Ok(Value::Size(512)));
        assert!(SIZE.read_text("16XB").is_err());
    }

    #[test]
    fn plain_integers_are_seconds() {
        assert_eq!(
            DURATION.read_text("45"),
            Ok(Value::Duration(Duration::from_secs(45)))
        );
        assert_eq!(
            DURATION.read_text("5m"),
            Ok(Value::Duration(Duration::from_mins(5)))
        );
        assert!(DURATION.read_text("0").is_err());
        assert!(DURATION.read_text("-3").is_err());
        assert!(DURATION.read_text("soon").is_err());
    }

    #[test]
    fn rates_need_a_count_and_a_known_period() {
        let minute = Rate {
            count: 60,
            per: Duration::from_mins(1),
        };
        assert_eq!(Kind::Rate.read_text("60/min"), Ok(Value::Rate(minute)));
        assert!(Kind::Rate.read_text("0/min").is_err());
        assert!(Kind::Rate.read_text("60/fortnight").is_err());
    }

    #[test]
    fn a_wrong_secret_is_not_shown() {
        let error = Kind::Secret.read_toml(&DeValue::Boolean(true)).unwrap_err();
        assert_eq!(error.found, "something that is not a hash");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for (kind, text) in [
            (SIZE, "16GB"),
            (SIZE, "1025"),
            (DURATION, "90s"),
            (DURATION, "250ms"),
        ] {
            let value = kind.read_text(text).unwrap();
            assert_eq!(
                kind.read_text(value.to_text().trim_matches('"')).unwrap(),
                value
            );
        }
    }
}
