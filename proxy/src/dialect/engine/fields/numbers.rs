//! Numbers of a request, as an engine takes them under its [`NumberRules`].
//!
//! A value that the engine cannot read as a number is refused with the name of its field. A number that
//! the engine would refuse or misread although its meaning is plain is written in the engine's way.

use super::{
    RewrittenField,
    number_rules::{NoLimit, NumberRules},
};
use crate::{
    body::{
        number::{JsonNumber, is_plain},
        peek::{self, PeekedBody},
    },
    dialect::chat::field_error::{invalid_type, unsupported},
    error::{Error, ErrorKind},
};

/// Keys of the limit of an answer in tokens. A negative one and null mean no limit.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// The kind of number that a field of a request takes.
#[derive(Clone, Copy)]
enum NumberKind {
    /// The limit of an answer in tokens.
    Limit,
    /// Another whole number.
    Whole,
    /// A number that engines keep as a 32-bit float.
    Real,
    /// A boolean, for which some engines take a number.
    Flag,
}

/// Every field that takes a number, in the order in which faults and notes are given.
const NUMBERS: [(&str, NumberKind); 12] = [
    ("max_tokens", NumberKind::Limit),
    ("max_completion_tokens", NumberKind::Limit),
    ("n", NumberKind::Whole),
    ("seed", NumberKind::Whole),
    ("top_k", NumberKind::Whole),
    ("top_logprobs", NumberKind::Whole),
    ("temperature", NumberKind::Real),
    ("top_p", NumberKind::Real),
    ("min_p", NumberKind::Real),
    ("frequency_penalty", NumberKind::Real),
    ("presence_penalty", NumberKind::Real),
    ("logprobs", NumberKind::Flag),
];

/// Returns the numbers that have to be written in another way under these rules.
///
/// # Errors
/// `invalid_type` and `unsupported_value`, with the field, what was found, and what to do.
pub(crate) fn rewritten_numbers(
    body: &[u8],
    peek: &PeekedBody,
    rules: &NumberRules,
) -> Result<Vec<RewrittenField>, Error> {
    let mut rewritten = Vec::new();
    for (name, kind) in asked(peek) {
        let Some(raw) = peek.raw(body, name) else {
            continue;
        };
        match kind {
            NumberKind::Limit => {
                if let Some(value) = whole(name, raw, rules)? {
                    rewritten.extend(limit(name, raw, value, rules)?);
                }
            }
            NumberKind::Whole => {
                if let Some(value) = whole(name, raw, rules)? {
                    if name == "n" {
                        choices(value, rules)?;
                    }
                    rewritten.extend(respelled(name, raw, value));
                }
            }
            NumberKind::Real => real(name, raw, rules)?,
            NumberKind::Flag => flag(name, raw, rules)?,
        }
    }
    Ok(rewritten)
}

/// Returns those of [`NUMBERS`] that stand in the request, in their order. A request has few members, so
/// these are looked up in the table, and not the table in them.
fn asked(peek: &PeekedBody) -> impl Iterator<Item = (&'static str, NumberKind)> {
    let place = |name: &str| NUMBERS.iter().position(|(number, _)| *number == name);
    let mut asked: Vec<usize> = peek.names().filter_map(place).collect();
    asked.sort_unstable();
    asked.into_iter().map(|place| NUMBERS[place])
}

/// Checks a boolean, for which an engine may take a number.
fn flag(name: &'static str, raw: &str, rules: &NumberRules) -> Result<(), Error> {
    let is_number = || rules.logprobs_count && JsonNumber::of(raw).is_some();
    if matches!(raw, "true" | "false") || is_number() {
        return Ok(());
    }
    Err(invalid_type(name, "a boolean", peek::found(raw)))
}

/// Reads a whole number for an engine that keeps it in 64 bits with a sign.
///
/// # Errors
/// The value is no whole number of 64 bits.
pub(crate) fn signed(
    body: &[u8],
    peek: &PeekedBody,
    name: &'static str,
    rules: &NumberRules,
) -> Result<Option<i64>, Error> {
    let Some(raw) = peek.raw(body, name) else {
        return Ok(None);
    };
    let value = whole(name, raw, rules)?.unwrap_or_default();
    i64::try_from(value)
        .map(Some)
        .map_err(|_| too_large(name, raw))
}

/// Reports whether `top_logprobs` is 0 and `logprobs` is off, which together ask for nothing.
pub(crate) fn asks_for_no_alternatives(body: &[u8], peek: &PeekedBody) -> bool {
    let none =
        peek.raw(body, "top_logprobs").and_then(JsonNumber::of) == Some(JsonNumber::Whole(0));
    none && matches!(peek.raw(body, "logprobs"), None | Some("false"))
}

/// Reads a whole number; `None` where the engine takes any number there and has the last word.
fn whole(name: &'static str, raw: &str, rules: &NumberRules) -> Result<Option<i128>, Error> {
    let lenient = rules.lenient.contains(&name);
    let narrow = LIMITS.contains(&name) || name == "n";
    match JsonNumber::of(raw) {
        Some(JsonNumber::Whole(value)) => {
            let fits = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value);
            match fits {
                true => Ok(Some(value)),
                false if lenient && !narrow => Ok(None),
                false => Err(too_large(name, raw)),
            }
        }
        Some(JsonNumber::Fraction(_)) if lenient => Ok(None),
        Some(JsonNumber::Fraction(_)) => Err(Error::new(
            ErrorKind::InvalidType,
            format!(
                "`{name}` must be a whole number, found {raw:.40}; {}",
                way_out(name)
            ),
        )
        .param(name)),
        Some(JsonNumber::Beyond) => Err(too_large(name, raw)),
        None => Err(invalid_type(
            name,
            "a whole number",
            &format!("{}; {}", peek::found(raw), way_out(name)),
        )),
    }
}

/// The limit of an answer where it has to be written in another way.
fn limit(
    name: &'static str,
    raw: &str,
    value: i128,
    rules: &NumberRules,
) -> Result<Option<RewrittenField>, Error> {
    let sent = |json: &str, why: &str| RewrittenField {
        name,
        json: Some(json.to_owned()),
        note: format!("{name} {raw:.40} is sent as {json}{why}"),
    };
    if value <= 0 && rules.no_limit == NoLimit::OtherFormat {
        return Ok(None);
    }
    if value < 0 {
        return Ok(match rules.no_limit {
            NoLimit::MinusOne if raw == "-1" => None,
            NoLimit::MinusOne => Some(sent("-1", ", no limit")),
            NoLimit::LeftOut | NoLimit::OtherFormat => Some(RewrittenField {
                name,
                json: None,
                note: format!("{name} {raw:.40} is left out, no limit"),
            }),
        });
    }
    if value == 0 && rules.refuses_zero_limit {
        let way_out = way_out(name);
        let message = format!("`{name}` must be at least 1, found {raw:.40}; {way_out}");
        return Err(unsupported(name, message));
    }
    Ok(match rules.largest_limit {
        Some(largest) if value > largest => {
            Some(sent(&largest.to_string(), ", the most that it takes"))
        }
        _ => respelled(name, raw, value),
    })
}

fn choices(value: i128, rules: &NumberRules) -> Result<(), Error> {
    match value {
        1 => Ok(()),
        2.. if rules.several_choices => Ok(()),
        2.. => Err(unsupported(
            "n",
            "this engine gives one choice per request; send `n`: 1, or several requests",
        )),
        _ => Err(unsupported(
            "n",
            format!("`n` must be at least 1, found {value}; {}", way_out("n")),
        )),
    }
}

/// A whole number that is written as a float, as an integer.
fn respelled(name: &'static str, raw: &str, value: i128) -> Option<RewrittenField> {
    (!is_plain(raw)).then(|| RewrittenField {
        name,
        json: Some(value.to_string()),
        note: format!("{name} {raw:.40} is sent as {value}"),
    })
}

fn real(name: &'static str, raw: &str, rules: &NumberRules) -> Result<(), Error> {
    if JsonNumber::of(raw).is_none() {
        let found = format!("{}; {}", peek::found(raw), way_out(name));
        return Err(invalid_type(name, "a number", &found));
    }
    let value: f64 = raw.parse().unwrap_or(f64::INFINITY);
    let fits = value.abs() <= f64::from(f32::MAX);
    // A number such as 1e400 is no JSON number to any engine.
    if fits || (rules.beyond_f32 && value.is_finite()) {
        return Ok(());
    }
    Err(too_large(name, raw))
}

fn too_large(name: &'static str, raw: &str) -> Error {
    let message = format!(
        "`{name}` is a number that no engine takes, found {raw:.40}; {}",
        way_out(name)
    );
    unsupported(name, message)
}

fn way_out(name: &str) -> &'static str {
    match name {
        "max_tokens" | "max_completion_tokens" => "leave it out, or send -1, for no limit",
        "seed" => "leave it out for another answer each time",
        "n" => "leave it out for one choice",
        _ => "leave it out for the default",
    }
}

#[cfg(test)]
mod tests;
