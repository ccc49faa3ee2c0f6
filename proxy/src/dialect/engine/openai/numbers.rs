//! Numbers of a request, as the engine takes them: what is no number for it is refused by name,
//! and what it would refuse or misread although its meaning is plain is written in its way.

use crucible_config::checked::EngineKind;

use crate::{
    body::{
        number::{Number, is_plain},
        peek::{self, PeekedBody},
    },
    dialect::engine::openai::request::{invalid_type, unsupported},
    error::{Error, Kind},
};

/// The limits of an answer. Negative and null are none.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];
/// Other whole numbers.
const WHOLE: [&str; 4] = ["n", "seed", "top_k", "top_logprobs"];
/// Engines keep these in 32 bits.
const REAL: [&str; 5] = [
    "temperature",
    "top_p",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
];
/// llama.cpp's server keeps limits in 32 bits, and wraps what is larger (b11549: 2^63 became 0).
const LLAMA_LIMIT: i128 = i32::MAX as i128;

/// A number that is sent in another way than it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bent {
    pub(crate) name: &'static str,
    /// `None`: it is left out.
    pub(crate) with: Option<String>,
    pub(crate) note: String,
}

/// What is to be written in another way for an engine of this kind.
///
/// Errors: `invalid_type` and `unsupported_value`, with the field, what was found, and what to do.
pub(crate) fn bent(body: &[u8], peek: &PeekedBody, kind: EngineKind) -> Result<Vec<Bent>, Error> {
    let mut bent = Vec::new();
    for name in LIMITS {
        if let Some(raw) = peek.raw(body, name)
            && let Some(value) = whole(name, raw, kind)?
        {
            bent.extend(limit(name, raw, value, kind)?);
        }
    }
    for name in WHOLE {
        if let Some(raw) = peek.raw(body, name)
            && let Some(value) = whole(name, raw, kind)?
        {
            if name == "n" {
                choices(value, kind)?;
            }
            bent.extend(respelled(name, raw, value));
        }
    }
    for name in REAL {
        if let Some(raw) = peek.raw(body, name) {
            real(name, raw, kind)?;
        }
    }
    if let Some(raw) = peek.raw(body, "logprobs")
        && !matches!(raw, "true" | "false")
        // llama.cpp's server takes a count too (b11549).
        && !(kind == EngineKind::Llamacpp && Number::of(raw).is_some())
    {
        return Err(invalid_type("logprobs", "a boolean", peek::found(raw)));
    }
    Ok(bent)
}

/// A whole number for an engine that keeps it in 64 bits with a sign.
pub(crate) fn signed(
    body: &[u8],
    peek: &PeekedBody,
    name: &'static str,
) -> Result<Option<i64>, Error> {
    let Some(raw) = peek.raw(body, name) else {
        return Ok(None);
    };
    let value = whole(name, raw, EngineKind::Ollama)?.unwrap_or_default();
    i64::try_from(value)
        .map(Some)
        .map_err(|_| too_large(name, raw))
}

/// `top_logprobs` 0 without `logprobs`, which asks for nothing; llama.cpp's server refuses it (b11434).
pub(crate) fn asks_for_no_alternatives(body: &[u8], peek: &PeekedBody) -> bool {
    let none = peek.raw(body, "top_logprobs").and_then(Number::of) == Some(Number::Whole(0));
    none && matches!(peek.raw(body, "logprobs"), None | Some("false"))
}

/// `None` where an engine that takes any number has the last word.
fn whole(name: &'static str, raw: &str, kind: EngineKind) -> Result<Option<i128>, Error> {
    // llama.cpp's server cuts fractions and, but for limits, wraps what is too large (b11549).
    // Ollama (0.33) does so with `top_k`, which its OpenAI layer does not read.
    let lenient = match kind {
        EngineKind::Llamacpp => true,
        EngineKind::Ollama => name == "top_k",
        EngineKind::Lmstudio | EngineKind::Openai => false,
    };
    let narrow = LIMITS.contains(&name) || name == "n";
    match Number::of(raw) {
        Some(Number::Whole(value)) => {
            let fits = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value);
            match fits {
                true => Ok(Some(value)),
                false if lenient && !narrow => Ok(None),
                false => Err(too_large(name, raw)),
            }
        }
        Some(Number::Fraction(_)) if lenient => Ok(None),
        Some(Number::Fraction(_)) => Err(Error::new(
            Kind::InvalidType,
            format!(
                "`{name}` must be a whole number, found {raw:.40}; {}",
                way_out(name)
            ),
        )
        .param(name)),
        Some(Number::Beyond) => Err(too_large(name, raw)),
        None => Err(invalid_type(
            name,
            "a whole number",
            &format!("{}; {}", peek::found(raw), way_out(name)),
        )),
    }
}

fn limit(
    name: &'static str,
    raw: &str,
    value: i128,
    kind: EngineKind,
) -> Result<Option<Bent>, Error> {
    let sent = |with: &str, why: &str| {
        Some(Bent {
            name,
            with: Some(with.to_owned()),
            note: format!("{name} {raw:.40} is sent as {with}{why}"),
        })
    };
    Ok(match (kind, value) {
        // What Ollama gets is written anew, and to it 0 is no limit.
        (EngineKind::Ollama, ..=0) => None,
        (EngineKind::Lmstudio | EngineKind::Llamacpp, ..0) if raw == "-1" => None,
        (EngineKind::Lmstudio | EngineKind::Llamacpp, ..0) => sent("-1", ", no limit"),
        // vLLM refuses what is below 1.
        (EngineKind::Openai, ..0) => Some(Bent {
            name,
            with: None,
            note: format!("{name} {raw:.40} is left out, no limit"),
        }),
        (EngineKind::Lmstudio, 0) => {
            let way_out = way_out(name);
            let message = format!("`{name}` must be at least 1, found {raw:.40}; {way_out}");
            return Err(unsupported(name, message));
        }
        (EngineKind::Llamacpp, LLAMA_LIMIT..) if value > LLAMA_LIMIT => {
            sent(&LLAMA_LIMIT.to_string(), ", the most that it takes")
        }
        _ => respelled(name, raw, value),
    })
}

fn choices(value: i128, kind: EngineKind) -> Result<(), Error> {
    match value {
        1 => Ok(()),
        2.. if matches!(kind, EngineKind::Openai | EngineKind::Llamacpp) => Ok(()),
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
fn respelled(name: &'static str, raw: &str, value: i128) -> Option<Bent> {
    (!is_plain(raw)).then(|| Bent {
        name,
        with: Some(value.to_string()),
        note: format!("{name} {raw:.40} is sent as {value}"),
    })
}

fn real(name: &'static str, raw: &str, kind: EngineKind) -> Result<(), Error> {
    if Number::of(raw).is_none() {
        let found = format!("{}; {}", peek::found(raw), way_out(name));
        return Err(invalid_type(name, "a number", &found));
    }
    let value: f64 = raw.parse().unwrap_or(f64::INFINITY);
    let fits = value.abs() <= f64::from(f32::MAX);
    // llama.cpp's server takes the largest for endless (b11549), but reads no 1e400.
    if fits || (kind == EngineKind::Llamacpp && value.is_finite()) {
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
