use bytes::Bytes;

use super::*;
use crate::error::ErrorKind;

const F: &str = r#"{"type":"function", "function":{"name":"f","parameters":{"z":1.0,"a":[]}}}"#;
const G: &str = r#"{"function":{"name":"g"},"type":"function"}"#;
const H: &str = r#"{"type":"function","name":"h"}"#;

fn choice(choice: &str, tools: &str) -> Result<Option<ToolChoice>, Error> {
    let tools = if tools.is_empty() {
        String::new()
    } else {
        format!(r#","tools":{tools}"#)
    };
    let body = Bytes::from(format!(r#"{{"tool_choice":{choice}{tools}}}"#));
    let peek = PeekedBody::of(&body, 64).unwrap();
    ToolChoice::of(&body, &peek)
}

#[test]
fn object_forms_become_a_word_and_the_tools_that_they_leave() {
    use ToolChoiceMode::{Auto, None as Never, Required};
    let all = format!("[{F} , {G},{H}]");
    for (asked, mode, kept) in [
        (
            r#"{"type":"function","function":{"name":"g"}}"#,
            Required,
            Some(format!("[{G}]")),
        ),
        (
            r#"{"function":{"name":"f"}}"#,
            Required,
            Some(format!("[{F}]")),
        ),
        (
            r#"{"type":"function","name":"h"}"#,
            Required,
            Some(format!("[{H}]")),
        ),
        (
            r#"{"type":"custom","custom":{"name":"g"}}"#,
            Required,
            Some(format!("[{G}]")),
        ),
        (
            r#"{"type":"tool","name":"f"}"#,
            Required,
            Some(format!("[{F}]")),
        ),
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"h"}},{"type":"function","function":{"name":"f"}}]}}"#,
            Required,
            // In the order of the offer.
            Some(format!("[{F},{H}]")),
        ),
        (
            r#"{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"g"}]}"#,
            Auto,
            Some(format!("[{G}]")),
        ),
        (
            r#"{"type":"allowed_tools","tools":[{"name":"f"},{"name":"g"},{"name":"h"}]}"#,
            Auto,
            None,
        ),
        (
            r#"{"type":"allowed_tools","mode":"auto","tools":[]}"#,
            Never,
            None,
        ),
        (r#"{"type":"auto"}"#, Auto, None),
        (r#"{"type":"any"}"#, Required, None),
        (r#"{"type":"none"}"#, Never, None),
    ] {
        let is_rewritten = ToolChoice {
            mode,
            tools: kept,
            is_rewritten: true,
        };
        assert_eq!(choice(asked, &all).unwrap(), Some(is_rewritten), "{asked}");
    }
}

#[test]
fn words_stay_words() {
    for (asked, mode, is_rewritten) in [
        (r#""auto""#, ToolChoiceMode::Auto, false),
        (r#""none""#, ToolChoiceMode::None, false),
        (r#""required""#, ToolChoiceMode::Required, false),
        (r#""any""#, ToolChoiceMode::Required, true),
    ] {
        let word = ToolChoice::word(mode, is_rewritten);
        assert_eq!(choice(asked, "").unwrap(), Some(word), "{asked}");
    }
    assert_eq!(choice("null", "").unwrap(), None);
}

#[test]
fn what_is_not_offered_or_not_known_is_named() {
    use ErrorKind::{InvalidType, MissingField, UnsupportedValue};
    let all = format!("[{F},{G},7]");
    let name = "tool_choice.function.name";
    for (asked, tools, kind, param) in [
        (
            r#"{"function":{"name":"x"}}"#,
            &*all,
            UnsupportedValue,
            name,
        ),
        (r#"{"function":{"name":"f"}}"#, "", UnsupportedValue, name),
        (r#"{"function":{"name":"f"}}"#, "[]", UnsupportedValue, name),
        (
            r#"{"type":"function","name":"x"}"#,
            &all,
            UnsupportedValue,
            "tool_choice.name",
        ),
        (r#"{"type":"function"}"#, &all, MissingField, name),
        ("{}", &all, MissingField, name),
        (
            r#"{"type":"banana","name":"f"}"#,
            &all,
            UnsupportedValue,
            "tool_choice.type",
        ),
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"function":{"name":"f"}},{"function":{"name":"x"}}]}}"#,
            &all,
            UnsupportedValue,
            "tool_choice.allowed_tools.tools[1].function.name",
        ),
        (
            r#"{"type":"allowed_tools","mode":"required","tools":[]}"#,
            &all,
            UnsupportedValue,
            "tool_choice.allowed_tools.tools",
        ),
        (
            r#"{"type":"allowed_tools","mode":"all","tools":[{"name":"f"}]}"#,
            &all,
            UnsupportedValue,
            "tool_choice.mode",
        ),
        (
            r#"{"type":"allowed_tools"}"#,
            &all,
            MissingField,
            "tool_choice.tools",
        ),
        (r#""all""#, &all, UnsupportedValue, "tool_choice"),
        ("7", &all, InvalidType, "tool_choice"),
        ("[]", &all, InvalidType, "tool_choice"),
    ] {
        let error = choice(asked, tools).unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (kind, Some(param)),
            "{asked}"
        );
    }
}
