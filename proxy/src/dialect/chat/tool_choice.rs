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

/// The types of a choice that names one tool; the last is Anthropic's.
const NAMED: [&str; 3] = ["function", "custom", "tool"];

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
            Some(kind) if !NAMED.contains(&kind) => {
                let shown: String = kind.chars().take(64).collect();
                return Err(unsupported(
                    "tool_choice.type",
                    format!(
                        "`tool_choice.type` must be auto, none, required, function, custom or allowed_tools, \
                         found '{shown}'"
                    ),
                ));
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
        Ok(Self {
            mode,
            tools: only(&named, body, peek)?,
            is_rewritten: true,
        })
    }
}

/// Returns the list of `tools` with only those that are named; `None` where it has no others.
fn only(named: &[NamedTool], body: &[u8], peek: &PeekedBody) -> Result<Option<String>, Error> {
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
    for NamedTool { name, path } in named {
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
    Ok((kept.len() < offered.len()).then(|| format!("[{}]", kept.join(","))))
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
                format!("{path}.mode"),
                "a string",
                found(&other.to_string()),
            ));
        }
    };
    let list = match &inner["tools"] {
        Value::Array(list) => list,
        Value::Null => return Err(missing(format!("{path}.tools"))),
        other => {
            return Err(invalid_type(
                format!("{path}.tools"),
                "an array",
                found(&other.to_string()),
            ));
        }
    };
    let named = list.iter().enumerate().map(|(at, tool)| {
        let path = format!("{path}.tools[{at}]");
        name_of(tool, &path)
            .map(|(name, path)| NamedTool { name, path })
            .ok_or_else(|| missing(format!("{path}.function.name")))
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
mod tests;
