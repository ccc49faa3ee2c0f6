//! `tool_choice` in the chat format.

use super::notes::RequestNotes;
use crate::{
    body::peek::found,
    dialect::{
        chat::{
            client_object::{ClientObject, elements},
            field_error::{invalid_type, missing, shown, unsupported},
            field_path::member_path,
            json_text::{decoded, quoted},
        },
        responses::tool_names::ToolNames,
    },
    error::Error,
};

/// The types of tools that a choice may name.
const CALLED: [&str; 2] = ["function", "custom"];

/// The types of tools that OpenAI's servers run, by which a choice may name one (openai-python 3.54).
const HOSTED: [&str; 9] = [
    "apply_patch",
    "code_interpreter",
    "computer",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "shell",
    "web_search",
];

/// Returns the choice as JSON; `None` for one that leaves it to the model.
pub(super) fn chat_choice(
    raw: &str,
    names: &ToolNames,
    notes: &mut RequestNotes,
) -> Result<Option<String>, Error> {
    const PATH: &str = "tool_choice";
    if raw.starts_with('"') {
        return word(raw, PATH).map(|word| Some(word.to_owned()));
    }
    if !raw.starts_with('{') {
        return Err(invalid_type(PATH, "a string or an object", found(raw)));
    }
    let choice = ClientObject::of(raw, PATH)?;
    let kind = choice.decoded_text("type", PATH)?;
    match kind.as_deref() {
        Some("allowed_tools") => allowed(&choice, names, notes).map(Some),
        Some(kind) if CALLED.contains(&kind) => {
            let chat = offered(&choice, PATH, names)?;
            Ok(Some(function(&chat)))
        }
        Some("auto" | "none" | "required") => {
            let raw = choice.get("type").unwrap_or(r#""auto""#);
            word(raw, "tool_choice.type").map(|word| Some(word.to_owned()))
        }
        Some(hosted) if is_hosted(hosted) => {
            notes.say(format!(
                "tool_choice is dropped: no engine here has a tool '{hosted}'"
            ));
            Ok(None)
        }
        Some(other) => {
            let other = shown(other);
            Err(unsupported(
                "tool_choice.type",
                format!(
                    "`tool_choice.type` must be auto, none, required, function, custom or allowed_tools, \
                     found '{other}'"
                ),
            ))
        }
        None => Err(missing("tool_choice.type")),
    }
}

/// Reports whether this is the type of a tool that only OpenAI's servers run.
fn is_hosted(kind: &str) -> bool {
    // Some have the date of their version behind them.
    HOSTED.iter().any(|known| {
        kind.strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-']))
    })
}

fn word<'a>(raw: &'a str, path: &str) -> Result<&'a str, Error> {
    match &*decoded(raw) {
        "auto" | "none" | "required" => Ok(raw),
        other => {
            let other = shown(other);
            Err(unsupported(
                path,
                format!("`{path}` must be none, auto, required or a tool, found '{other}'"),
            ))
        }
    }
}

/// Reads a choice among some of the tools.
fn allowed(
    choice: &ClientObject<'_>,
    names: &ToolNames,
    notes: &mut RequestNotes,
) -> Result<String, Error> {
    let path = "tool_choice";
    // In an object of its own, as the chat format has it.
    let nested = choice.object("allowed_tools", path)?;
    let nested = nested.map(|raw| ClientObject::of(raw, path)).transpose()?;
    let choice = nested.as_ref().unwrap_or(choice);
    let mode = match choice.text("mode", path)? {
        Some(raw) => word(raw, "tool_choice.mode")?,
        None => r#""auto""#,
    };
    let tools = choice
        .get("tools")
        .ok_or_else(|| missing("tool_choice.tools"))?;
    let mut left: Vec<String> = Vec::new();
    for (at, tool) in elements(tools, "tool_choice.tools")?
        .into_iter()
        .enumerate()
    {
        let path = format!("tool_choice.tools[{at}]");
        let tool = ClientObject::of(tool, &path)?;
        match tool.decoded_text("type", &path)?.as_deref() {
            Some("namespace") => {
                let name = tool.decoded_text("name", &path)?;
                let name = name.ok_or_else(|| missing(member_path(&path, "name")))?;
                left.extend(names.of_namespace(&name).into_iter().map(str::to_owned));
            }
            None => left.push(offered(&tool, &path, names)?),
            Some(kind) if CALLED.contains(&kind) => left.push(offered(&tool, &path, names)?),
            Some(hosted) => notes.dropped_tool(hosted),
        }
    }
    if left.is_empty() {
        return if mode == r#""required""# {
            Err(unsupported(
                "tool_choice.tools",
                "`tool_choice` requires a call but allows no tool that an engine here has",
            ))
        } else {
            Ok(r#""none""#.to_owned())
        };
    }
    let left: Vec<String> = left.iter().map(|chat| function(chat)).collect();
    Ok(format!(
        r#"{{"type":"allowed_tools","allowed_tools":{{"mode":{mode},"tools":[{}]}}}}"#,
        left.join(",")
    ))
}

/// Returns the engine's name of a tool that is named at `path` and has to be offered.
fn offered(tool: &ClientObject<'_>, path: &str, names: &ToolNames) -> Result<String, Error> {
    let nested = CALLED.iter().find_map(|kind| tool.get(kind));
    let nested = nested.map(|raw| ClientObject::of(raw, path)).transpose()?;
    let tool = nested.as_ref().unwrap_or(tool);
    let at = member_path(path, "name");
    let name = tool
        .decoded_text("name", path)?
        .ok_or_else(|| missing(&at))?;
    let namespace = tool.decoded_text("namespace", path)?;
    let chat = names.chat_name(namespace.as_deref().filter(|n| !n.is_empty()), &name);
    if names.is_offered(&chat) {
        return Ok(chat.into_owned());
    }
    let name = shown(&name);
    Err(unsupported(&at, format!("`tools` holds no tool '{name}'")))
}

fn function(chat: &str) -> String {
    let name = quoted(chat);
    format!(r#"{{"type":"function","function":{{"name":{name}}}}}"#)
}
