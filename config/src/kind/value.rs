//! A value that was read, and how it is written as JSON and as text.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;

use super::Rate;

/// A value that some [`SettingKind`](super::SettingKind) has read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A value of [`SettingKind::Boolean`](super::SettingKind::Boolean).
    Boolean(bool),
    /// A value of [`SettingKind::Integer`](super::SettingKind::Integer).
    Integer(i64),
    /// A value of [`SettingKind::Number`](super::SettingKind::Number).
    Number(f64),
    /// A value of [`SettingKind::Duration`](super::SettingKind::Duration).
    Duration(Duration),
    /// A value of [`SettingKind::Size`](super::SettingKind::Size), in bytes.
    Size(u64),
    /// A value of a kind that is written as text: words, environment values, hashes.
    Text(String),
    /// A value of [`SettingKind::Rate`](super::SettingKind::Rate).
    Rate(Rate),
    /// A value of a kind of addresses.
    Addresses(Vec<SocketAddr>),
    /// A value of [`SettingKind::Texts`](super::SettingKind::Texts).
    Texts(Vec<String>),
}

impl Value {
    /// The value in JSON: durations in seconds, sizes in bytes.
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

    /// The value as a person writes it in the file.
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
    } else if d.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{}ms", d.as_millis())
    } else {
        humantime::format_duration(d).to_string()
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
