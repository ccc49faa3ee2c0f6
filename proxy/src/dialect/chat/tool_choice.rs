//! `tool_choice` for engines that know only the words `none`, `auto` and `required`: its object forms
//! become one of these words and the offered tools that they leave.
//!
//! Read are OpenAI's forms in chat and in responses (a function, a custom tool, `allowed_tools`) and
//! Anthropic's. The tools that stay keep their bytes and their order.

use serde_json::{Value, value::RawValue};

use crate::{
    body::peek::{PeekedBody, found},
    dialect::chat::field_error::{invalid_type, missing, unsupported},
    error::Error,
};

/// The three words for what a model does with the offered tools, which every engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoiceMode {
    /// The model may call a tool.
    Auto,
    /// The model must not call a tool.
    None,
    /// The model must call a tool.
    Required,
}

/// A tool choice in the form that every engine understands: a word and a list of tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolChoice {
    /// The word for the engine.
    pub(crate) mode: ToolChoiceMode,
    /// The list of tools that are offered, where the choice leaves only some of them.
    pub(crate) tools: Option<String>,
    /// Whether the client wrote it as an object, or as a word that only some servers know.
    pub(crate) is_rewritten: bool,
}

/// A tool that a choice names, and where it does so.
struct NamedTool {
    name: String,
    path: String,
}

/// Reports whether `tool_choice` forbids to call a tool.
pub(crate) fn is_none(body: &[u8], peek: &PeekedBody) -> bool {
    match peek.raw(body, "tool_choice") {
        None | Some(r#""auto""# | r#""required""#) => false,
        Some(r#""none""#) => true,
        // An error in it is reported where the request is checked.
        Some(_) => ToolChoice::of(body, peek)
            .ok()
            .flatten()
            .is_some_and(|choice| choice.mode == ToolChoiceMode::None),
    }
}

// === impl ToolChoice ===

impl ToolChoice {
    /// Reads `tool_choice`; `None` where the request has none.
    ///
    /// # Errors
    /// The type or word is unknown, or a tool is named that is not offered; the error names the JSON
    /// path.
    pub(crate) fn of(body: &[u8], peek: &PeekedBody) -> Result<Option<Self>, Error> {
        match peek.typed::<Value>(body, "tool_choice", "a string or an object")? {
            None => Ok(None),
            Some(Value::String(word)) => {
                let mode = mode(&word, "tool_choice")?;
                Ok(Some(Self::word(mode, word == "any")))
            }
            Some(choice @ Value::Object(_)) => Self::of_object(&choice, body, peek).map(Some),
            Some(other) => Err(invalid_type(
                "tool_choice",
                "a string or an object",
                found(&other.to_string()),
            )),
        }
    }

    const fn word(mode: ToolChoiceMode, is_rewritten: bool) -> Self {
        Self {
            mode,
            tools: None,
            is_rewritten,
        }
    }

    fn of_object(choice: &Value, body: &[u8], peek: &PeekedBody) -> Result<Self, Error> {
        let (mode, named) = match choice["type"].as_str() {
            Some("allowed_tools") => allowed(choice)?,
            Some(word @ ("auto" | "none" | "any" | "required")) => {
                return Ok(Self::word(mode(word, "tool_choice.type")?, true));
            }
            _ => {
                let (name, path) = name_of(choice, "tool_choice")
                    .ok_or_else(|| missing("tool_choice.function.name"))?;
                (ToolChoiceMode::Required, vec![NamedTool { name, path }])
            }
        };
        if named.is_empty() {
            // None of the tools is what this leaves.
            return match mode {
                ToolChoiceMode::Required => Err(unsupported(
                    "tool_choice.allowed_tools.tools",
                    "`tool_choice` requires a call but allows no tool",
                )),
                ToolChoiceMode::Auto | ToolChoiceMode::None => {
                    Ok(Self::word(ToolChoiceMode::None, true))
                }
            };
        }
        let raw = peek.raw(body, "tools").unwrap_or("[]");
        let offered: Vec<&RawValue> =
            serde_json::from_str(raw).map_err(|_| invalid_type("tools", "an array", found(raw)))?;
        let spelt: Vec<Option<String>> = offered
            .iter()
            .map(|tool| {
                let tool: Value = serde_json::from_str(tool.get()).ok()?;
                name_of(&tool, "").map(|(name, _)| name)
            })
            .collect();
        let stays = |name: &Option<String>| named.iter().any(|n| name.as_ref() == Some(&n.name));
        for NamedTool { name, path } in &named {
            if !spelt.iter().flatten().any(|offered| offered == name) {
                let name: String = name.chars().take(128).collect();
                return Err(unsupported(
                    path,
                    format!("`tools` holds no function '{name}'"),
                ));
            }
        }
        let kept: Vec<&str> = offered
            .iter()
            .zip(&spelt)
            .filter(|(_, name)| stays(name))
            .map(|(tool, _)| tool.get())
            .collect();
        let tools = (kept.len() < offered.len()).then(|| format!("[{}]", kept.join(",")));
        Ok(Self {
            mode,
            tools,
            is_rewritten: true,
        })
    }
}

// === impl ToolChoiceMode ===

impl ToolChoiceMode {
    /// Returns the word as clients and engines write it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Required => "required",
        }
    }

    /// Returns the word as JSON.
    pub(crate) const fn json(self) -> &'static str {
        match self {
            Self::Auto => r#""auto""#,
            Self::None => r#""none""#,
            Self::Required => r#""required""#,
        }
    }
}

/// `any` is Mistral's and Anthropic's word.
fn mode(word: &str, path: &str) -> Result<ToolChoiceMode, Error> {
    match word {
        "auto" => Ok(ToolChoiceMode::Auto),
        "none" => Ok(ToolChoiceMode::None),
        "required" | "any" => Ok(ToolChoiceMode::Required),
        _ => Err(unsupported(
            path,
            format!("`{path}` must be none, auto, required or a named function"),
        )),
    }
}

/// Reads the mode and the tools of `allowed_tools`, which stand in an object of that name (chat) or
/// beside the type (responses).
fn allowed(choice: &Value) -> Result<(ToolChoiceMode, Vec<NamedTool>), Error> {
    let nested = &choice["allowed_tools"];
    let (inner, path) = if nested.is_object() {
        (nested, "tool_choice.allowed_tools")
    } else {
        (choice, "tool_choice")
    };
    let mode = match &inner["mode"] {
        Value::Null => ToolChoiceMode::Auto,
        Value::String(word) => mode(word, &format!("{path}.mode"))?,
        other => {
            return Err(invalid_type(
                &format!("{path}.mode"),
                "a string",
                found(&other.to_string()),
            ));
        }
    };
    let list = match &inner["tools"] {
        Value::Array(list) => list,
        Value::Null => return Err(missing(&format!("{path}.tools"))),
        other => {
            return Err(invalid_type(
                &format!("{path}.tools"),
                "an array",
                found(&other.to_string()),
            ));
        }
    };
    let named = list.iter().enumerate().map(|(at, tool)| {
        let path = format!("{path}.tools[{at}]");
        name_of(tool, &path)
            .map(|(name, path)| NamedTool { name, path })
            .ok_or_else(|| missing(&format!("{path}.function.name")))
    });
    Ok((mode, named.collect::<Result<_, _>>()?))
}

/// Returns the name in a tool or in a reference to one, and its path: `function.name`, `custom.name`,
/// or `name` itself.
fn name_of(tool: &Value, path: &str) -> Option<(String, String)> {
    for kind in ["function", "custom"] {
        if let Some(name) = tool[kind]["name"].as_str() {
            return Some((name.to_owned(), format!("{path}.{kind}.name")));
        }
    }
    let name = tool["name"].as_str()?;
    Some((name.to_owned(), format!("{path}.name")))
}

#[cfg(test)]
mod tests {
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
}
