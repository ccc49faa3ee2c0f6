//! `keep_alive`. Ollama 0.33.0-rc2, api/types.go Duration: a number is seconds, negative is for
//! ever, a string is a Go duration (so "300" is refused).

use std::time::Duration;

use serde_json::Value;

/// How long a runner stays idle: `None` is for ever.
pub(crate) type KeepAlive = Option<Duration>;

/// Reads `keep_alive`; the outer `None` is an absent one.
pub(crate) fn keep_alive(value: Option<&Value>) -> Result<Option<KeepAlive>, String> {
    let seconds = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64().unwrap_or(0.0),
        Some(Value::String(text)) => go_seconds(text)?,
        Some(other) => {
            let kind = match other {
                Value::Array(_) => "[]interface {}",
                Value::Object(_) => "map[string]interface {}",
                _ => "bool",
            };
            return Err(format!("Unsupported type: '{kind}'"));
        }
    };
    if seconds < 0.0 {
        return Ok(Some(None));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).ok()))
}

/// Go's `time.ParseDuration` as far as seconds go.
fn go_seconds(text: &str) -> Result<f64, String> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let invalid = || format!("time: invalid duration \"{text}\"");
    if rest == "0" {
        return Ok(0.0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let length = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        total += number
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => return Err(format!("time: missing unit in duration \"{text}\"")),
                _ => {
                    return Err(format!(
                        "time: unknown unit \"{unit}\" in duration \"{text}\""
                    ));
                }
            };
        rest = tail;
    }
    Ok(sign * total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_go_durations_and_for_ever_are_read() {
        let read = |value: Value| keep_alive(Some(&value));
        assert_eq!(read(json!(0)), Ok(Some(Some(Duration::ZERO))));
        assert_eq!(read(json!(-1)), Ok(Some(None)));
        assert_eq!(read(json!("-1s")), Ok(Some(None)));
        assert_eq!(
            read(json!("1m30s")),
            Ok(Some(Some(Duration::from_secs(90))))
        );
        assert!(read(json!("300")).unwrap_err().contains("missing unit"));
        assert_eq!(keep_alive(None), Ok(None));
    }
}
