//! The arguments of tool calls in a conversation, which engines read again on every turn.
//!
//! Ollama (0.33) and llama.cpp's server (b11434) answer an error to arguments that are no JSON: those
//! of a call that was cut at its limit, a Windows path, a line break, two objects. The conversation
//! would be lost with it, since the call comes again with each turn. So every value that is no object
//! becomes one, and the same text always becomes the same object, so that an engine's cache of the
//! prompt stays warm.

use std::borrow::Cow;

use serde_json::{Value, value::RawValue};

use crate::body::surrogates;

/// The key under which a value that is no object is kept.
const KEY: &str = "arguments";
/// Levels down to which JSON in a string of JSON is opened.
const LEVELS: u8 = 3;

/// The arguments of a tool call as an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CallArguments<'a> {
    /// The object's text: the numbers and the order of the keys are those of the client.
    pub(crate) object: Cow<'a, str>,
    /// Whether the client wrote something else.
    pub(crate) is_rewritten: bool,
}

/// Returns the note on so many calls whose arguments were no JSON object.
pub(crate) fn note(count: usize) -> String {
    let calls = if count == 1 {
        "a tool call are"
    } else {
        "tool calls are"
    };
    format!("the arguments of {calls} no JSON object, and are sent as one")
}

// === impl CallArguments ===

impl<'a> CallArguments<'a> {
    /// Reads the JSON of the arguments: a text that holds JSON, or that JSON itself.
    pub(crate) fn of(raw: &'a str) -> Self {
        if raw.starts_with('"') {
            let text: String = serde_json::from_str(raw).unwrap_or_default();
            let (object, is_rewritten) = of_text(text.trim(), 0);
            return Self {
                object: object.into_owned().into(),
                is_rewritten,
            };
        }
        let (object, is_rewritten) = of_json(raw);
        Self {
            object,
            is_rewritten,
        }
    }
}

/// Returns the object of a text, and whether the text was none.
fn of_text(text: &str, level: u8) -> (Cow<'_, str>, bool) {
    if text.is_empty() {
        return ("{}".into(), true);
    }
    let mended = surrogates::mended_text(text);
    if serde_json::from_str::<&RawValue>(&mended).is_err() || is_endless(&mended) {
        return (kept(&Value::from(text).to_string()), true);
    }
    if level < LEVELS
        && mended.starts_with('"')
        && let Ok(inner) = serde_json::from_str::<String>(&mended)
        && inner.trim_start().starts_with(['{', '[', '"'])
    {
        let (object, _) = of_text(inner.trim(), level + 1);
        return (object.into_owned().into(), true);
    }
    let (object, is_rewritten) = of_json(&mended);
    let is_rewritten = is_rewritten || mended != text;
    (object.into_owned().into(), is_rewritten)
}

fn of_json(json: &str) -> (Cow<'_, str>, bool) {
    match json.as_bytes().first() {
        Some(b'{') => (json.into(), false),
        Some(b'n') | None => ("{}".into(), true),
        Some(_) => (kept(json), true),
    }
}

fn kept(json: &str) -> Cow<'static, str> {
    format!("{{\"{KEY}\":{json}}}").into()
}

/// Reports whether the JSON holds a number that no engine reads (`1e400`), or more brackets than any
/// opens.
fn is_endless(json: &str) -> bool {
    let has_power = json
        .as_bytes()
        .windows(2)
        .any(|pair| pair[0].is_ascii_digit() && matches!(pair[1], b'e' | b'E'));
    let is_long = json.len() > 300;
    (has_power || is_long) && serde_json::from_str::<Value>(json).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_for_arguments_is_an_object() {
        let many = "1".repeat(400);
        let endless = format!(r#"{{"n":{many}}}"#);
        for (text, object, is_rewritten) in [
            ("{}", "{}", false),
            (r#"{"z":1,"a":2}"#, r#"{"z":1,"a":2}"#, false),
            (" {\"z\": 1 } \n", "{\"z\": 1 }", false),
            (
                r#"{"n":123456789012345678901234567890,"e":1e2,"f":1.0,"g":-0}"#,
                r#"{"n":123456789012345678901234567890,"e":1e2,"f":1.0,"g":-0}"#,
                false,
            ),
            ("", "{}", true),
            ("  ", "{}", true),
            ("null", "{}", true),
            (r#"{"a":"#, r#"{"arguments":"{\"a\":"}"#, true),
            ("[1,2.0]", r#"{"arguments":[1,2.0]}"#, true),
            ("7", r#"{"arguments":7}"#, true),
            ("true", r#"{"arguments":true}"#, true),
            ("hello", r#"{"arguments":"hello"}"#, true),
            (r#""hello""#, r#"{"arguments":"hello"}"#, true),
            (
                r#"{"path":"C:\Users\x"}"#,
                r#"{"arguments":"{\"path\":\"C:\\Users\\x\"}"}"#,
                true,
            ),
            (
                "{\"code\":\"a\nb\"}",
                r#"{"arguments":"{\"code\":\"a\nb\"}"}"#,
                true,
            ),
            (
                r#"{"a":1}{"b":2}"#,
                r#"{"arguments":"{\"a\":1}{\"b\":2}"}"#,
                true,
            ),
            (r#"{"n":1e400}"#, r#"{"arguments":"{\"n\":1e400}"}"#, true),
            (
                &endless,
                &format!(r#"{{"arguments":"{{\"n\":{many}}}"}}"#),
                true,
            ),
            (r#"{"a\ud800":"\udfff"}"#, r#"{"a\ufffd":"\ufffd"}"#, true),
            // JSON in JSON, as some clients write it.
            (r#""{\"a\":1.0}""#, r#"{"a":1.0}"#, true),
        ] {
            let raw = Value::from(text).to_string();
            let found = CallArguments::of(&raw);
            assert_eq!(
                (&*found.object, found.is_rewritten),
                (object, is_rewritten),
                "{text}"
            );
            let object: Value = serde_json::from_str(&found.object).unwrap();
            assert!(object.is_object());
            assert_eq!(CallArguments::of(&raw), found, "always the same");
        }
    }

    #[test]
    fn what_is_no_text_is_read_as_it_stands() {
        for (raw, object, is_rewritten) in [
            ("null", "{}", true),
            (r#"{"n":1.0}"#, r#"{"n":1.0}"#, false),
            ("[1]", r#"{"arguments":[1]}"#, true),
            ("1.50", r#"{"arguments":1.50}"#, true),
            ("false", r#"{"arguments":false}"#, true),
        ] {
            let found = CallArguments::of(raw);
            assert_eq!(
                (&*found.object, found.is_rewritten),
                (object, is_rewritten),
                "{raw}"
            );
        }
    }
}
