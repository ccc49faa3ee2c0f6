//! Numbers, times and phases as a person reads them, the same as on the live page.
//!
//! `tests/page/words.json` has cases that both this module and the script of the page are held to.

use crucible_documents::state::{InFlightDoc, PrefillDoc, PrefillSource};

/// Bytes: `13.4 GB`, `512 MB`.
pub(super) fn bytes(value: u64) -> String {
    let number = float(value);
    if number >= 1e9 {
        format!("{:.1} GB", number / 1e9)
    } else {
        format!("{:.0} MB", (number / 1e6).round())
    }
}

/// A number of tokens: `950`, `12.3 k`, `8.12 M`.
pub(super) fn count(value: u64) -> String {
    let number = float(value);
    if value >= 999_950 {
        format!("{:.2} M", number / 1e6)
    } else if number >= 1e4 {
        format!("{:.1} k", number / 1e3)
    } else {
        value.to_string()
    }
}

/// Seconds: `0.4 s`, `12 s`, `3 m 5 s`, `2 h 10 m`, and `3 d 4 h` from two days on.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = whole(seconds.round());
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} m {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} m", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Tokens per second: `42.1`.
pub(super) fn rate(tokens_per_second: f64) -> String {
    format!("{tokens_per_second:.1}")
}

/// The thing that a request does at this moment: `reading the prompt, 62 %, 14 s left`.
pub(super) fn phase(request: &InFlightDoc) -> String {
    let words = match &*request.phase {
        "reading" => "reading the request",
        "queue" => "waiting",
        "prefill" => "reading the prompt",
        "stream" => "answering",
        other => other,
    };
    match &request.prefill {
        Some(prefill) if request.phase == "prefill" => {
            let left = prefill.remaining_s.map_or_else(
                || "longer than predicted".to_owned(),
                |left| format!("{} s left", whole(left.ceil())),
            );
            format!("{words}, {}, {left}", part_read(prefill))
        }
        _ => words.to_owned(),
    }
}

/// The part of a prompt that is read: `62 %`, and `about 62 %` where nobody reports it.
pub(super) fn part_read(prefill: &PrefillDoc) -> String {
    let about = match prefill.source {
        PrefillSource::Estimate => "about ",
        PrefillSource::Engine | PrefillSource::Runner => "",
    };
    format!("{about}{} %", whole((prefill.ratio * 100.0).floor()))
}

/// The thing that a waiting request waits for, in words.
pub(super) fn wait(reason: &str) -> String {
    match reason {
        "slot" => "for a free slot".to_owned(),
        "load" => "for its model to load".to_owned(),
        "swap" => "for another model to make room".to_owned(),
        other => format!("({other})"),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "three digits are shown of a number that is below 2^53"
)]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is cut at the bounds of the integer, and less than nothing is nothing"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    struct Cases {
        bytes: Vec<(Option<f64>, String)>,
        client: Vec<(String, String)>,
        count: Vec<(f64, String)>,
        duration: Vec<(Option<f64>, String)>,
        phase: Vec<(Value, String)>,
        wait: Vec<(String, String)>,
    }

    #[test]
    fn the_terminal_and_the_page_say_the_same() {
        let cases = include_str!("../../../tests/page/words.json");
        let cases: Cases = serde_json::from_str(cases).unwrap();
        for (value, text) in cases.bytes {
            assert_eq!(value.map_or_else(String::new, |v| bytes(whole(v))), text);
        }
        for (value, text) in cases.client {
            assert_eq!(crate::output::client_name(&value), text);
        }
        for (value, text) in cases.count {
            assert_eq!(count(whole(value)), text);
        }
        for (value, text) in cases.duration {
            assert_eq!(value.map_or_else(String::new, duration), text);
        }
        for (facts, text) in cases.phase {
            let mut request = serde_json::json!({
                "request_id": "r", "engine": null, "model": null, "reason": null, "since_s": 0.0, "tokens": 0,
            });
            for (name, value) in facts.as_object().unwrap() {
                request[name] = value.clone();
            }
            assert_eq!(phase(&serde_json::from_value(request).unwrap()), text);
        }
        for (reason, text) in cases.wait {
            assert_eq!(wait(&reason), text);
        }
    }
}
