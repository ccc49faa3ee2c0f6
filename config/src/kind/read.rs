//! The reading of a value from TOML or from text, and the words for what is wrong with one.

use std::{net::SocketAddr, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{Rate, SettingKind, Value};

/// The reason for which a value was not read: the words for what was found, and a hint or an empty
/// text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The words for what was found.
    pub(crate) found: String,
    /// The advice that mends it; empty where there is none.
    pub(crate) hint: String,
}

/// The most characters of a text that a message shows.
const SHOWN_CHARS: usize = 60;

/// Returns a text in quotes for a message, with its special characters escaped. One of more than 60
/// characters is cut there, and `...` follows.
pub(crate) fn quoted(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        format!("{text:?}")
    } else {
        let head: String = text.chars().take(SHOWN_CHARS).collect();
        format!("{head:?}...")
    }
}

/// Returns the words for a TOML value in a message that it is wrong: the value itself, or `a list`
/// and `a table` for those. A long text is cut; a secret must not come here.
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

impl SettingKind {
    /// Reads a value of this kind from a TOML value. The error says what was found instead and,
    /// where there is one, a hint.
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
                Err(Mismatch {
                    hint: self.without_quotes(text).into(),
                    ..wrong()
                })
            }
            (Self::IntegerText { .. } | Self::Text, DeValue::Integer(n)) => Err(Mismatch {
                hint: format!("write it in quotes: \"{n}\""),
                ..wrong()
            }),
            (Self::Texts, DeValue::Array(items)) => read_texts(items),
            (Self::Texts, DeValue::String(text)) => Err(Mismatch {
                hint: format!("write it as a list: [{}]", quoted(text)),
                ..wrong()
            }),
            (Self::Addresses, DeValue::Array(items)) => read_addresses(items),
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

    /// Reads a value of this kind from a text: an environment variable, a flag, or a TOML string.
    /// The error is as that of [`SettingKind::read_toml`]; the text of a secret is never in it.
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
            Self::OneOf(words) => match words.iter().find(|word| **word == plain) {
                Some(word) => Some(Value::Text((*word).to_owned())),
                None => return Err(wrong(did_you_mean(plain, words))),
            },
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

    /// Returns the hint for a text in quotes where a boolean or a number is expected.
    fn without_quotes(&self, text: &str) -> &'static str {
        if matches!(self, Self::Boolean) || text.trim().parse::<f64>().is_ok() {
            "write it without quotes"
        } else {
            "a plain number without unit and quotes"
        }
    }

    /// Returns the hint for a number of percent where a share from 0 to 1 is expected, such as 90
    /// for 0.90; it is empty where that was not meant.
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

/// Reads a list in which every item is a text; the error names an item that is not.
fn read_texts(items: &[Spanned<DeValue<'_>>]) -> Result<Value, Mismatch> {
    let texts = items.iter().map(|item| match item.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(Mismatch {
            found: format!("a list with {}", describe(other)),
            hint: String::new(),
        }),
    });
    Ok(Value::Texts(texts.collect::<Result<_, _>>()?))
}

/// Reads a list of at least one address; an empty list is an error.
fn read_addresses(items: &[Spanned<DeValue<'_>>]) -> Result<Value, Mismatch> {
    let mut all = Vec::new();
    for item in items.iter().map(Spanned::get_ref) {
        match SettingKind::Address.read_toml(item)? {
            Value::Addresses(mut one) => all.append(&mut one),
            _ => {
                return Err(Mismatch {
                    found: "a list".into(),
                    hint: String::new(),
                });
            }
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

fn did_you_mean(word: &str, known: &[&str]) -> String {
    nearest(word, known.iter().copied())
        .map(|near| format!("did you mean {near:?}?"))
        .unwrap_or_default()
}

/// The longest duration that is accepted, 100 years. A longer one is a slip, and this one cannot
/// overflow an instant.
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

/// Returns the known word that a misspelled one most likely means, whatever its case; `None` where
/// none of them is similar enough (half by Damerau and Levenshtein).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    similar(word, known, 0.5)
}

/// Returns the known word of which another one is surely a misspelling: they are the same to at least
/// four fifths, whatever their case.
pub fn misspelled<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    similar(word, known, 0.8)
}

fn similar<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|k| {
            (
                strsim::normalized_damerau_levenshtein(&word, &k.to_lowercase()),
                k,
            )
        })
        .filter(|(score, _)| *score >= least)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}
