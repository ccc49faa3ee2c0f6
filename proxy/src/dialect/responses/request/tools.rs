//! The tools of a request as functions of the chat format.
//!
//! The schema of a function keeps every byte. A tool that takes a text becomes a function with the one
//! argument `input`, and the tools of a namespace stand at its place in the list.

use std::{collections::HashMap, fmt::Write as _};

use super::notes::RequestNotes;
use crate::{
    body::peek::found,
    dialect::{
        chat::{
            client_object::{ClientObject, elements},
            field_error::{invalid_type, missing, shown, unsupported},
            field_path::member_path,
            json_text::{inner, quoted},
        },
        responses::tool_names::{ClientTool, ToolNames},
    },
    error::Error,
};

/// The most tools of a request, namespaces counted by their tools.
const MOST_TOOLS: usize = 4096;

/// The longest name of a tool in bytes.
const LONGEST_NAME: usize = 128;

/// The arguments of a tool that takes a text.
const INPUT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;

/// The tools that an engine is offered.
#[derive(Debug, Default)]
pub(super) struct ChatTools {
    /// The list as JSON; `None` where no tool is left.
    pub(super) list: Option<String>,
    /// The names of the tools in both directions.
    pub(super) names: ToolNames,
}

/// A tool of the list that an engine can be offered.
struct OfferedTool<'a> {
    tool: ClientObject<'a>,
    path: String,
    named: ClientTool,
}

// === impl ChatTools ===

impl ChatTools {
    /// Writes the client's list of tools, `raw`, as functions for the engine. A kind that only OpenAI's servers run
    /// is left out and said in `notes`.
    ///
    /// # Errors
    /// A tool without a kind or a usable name, a name that stands twice, or too many tools.
    pub(super) fn of(raw: &str, notes: &mut RequestNotes) -> Result<Self, Error> {
        let mut offered = Vec::new();
        for (at, tool) in elements(raw, "tools")?.into_iter().enumerate() {
            read(tool, &format!("tools[{at}]"), None, &mut offered, notes)?;
        }
        refuse_same_names(&offered)?;
        let mut this = Self::default();
        // Their names stay, so they come before those that give way.
        for tool in offered.iter().filter(|tool| tool.named.namespace.is_none()) {
            this.names.add(tool.named.clone());
        }
        let mut list = Vec::with_capacity(offered.len());
        for tool in offered {
            let chat = this.names.add(tool.named.clone());
            list.push(tool.function(&chat, notes)?);
        }
        this.list = (!list.is_empty()).then(|| format!("[{}]", list.join(",")));
        Ok(this)
    }
}

/// Reads one tool, or the tools of a namespace, into `offered`.
fn read<'a>(
    raw: &'a str,
    path: &str,
    namespace: Option<&str>,
    offered: &mut Vec<OfferedTool<'a>>,
    notes: &mut RequestNotes,
) -> Result<(), Error> {
    let tool = ClientObject::of(raw, path)?;
    let kind = tool.decoded_text("type", path)?;
    let kind = kind.ok_or_else(|| missing(member_path(path, "type")))?;
    match &*kind {
        "function" | "custom" => {
            let name = name(&tool, path)?;
            if offered.len() == MOST_TOOLS {
                return Err(unsupported(
                    "tools",
                    format!("`tools` must not hold more than {MOST_TOOLS} tools"),
                ));
            }
            offered.push(OfferedTool {
                named: ClientTool {
                    name,
                    namespace: namespace.map(str::to_owned),
                    custom: kind == "custom",
                },
                path: path.to_owned(),
                tool,
            });
        }
        "namespace" if namespace.is_none() => {
            let name = name(&tool, path)?;
            for (at, inner) in tool
                .list("tools", path)?
                .unwrap_or_default()
                .into_iter()
                .enumerate()
            {
                read(
                    inner,
                    &format!("{path}.tools[{at}]"),
                    Some(&name),
                    offered,
                    notes,
                )?;
            }
        }
        other => notes.dropped_tool(other),
    }
    Ok(())
}

/// Refuses two tools of one name, between which a model could not choose.
fn refuse_same_names(offered: &[OfferedTool<'_>]) -> Result<(), Error> {
    let mut first: HashMap<(Option<&str>, &str), &str> = HashMap::with_capacity(offered.len());
    for OfferedTool { named, path, .. } in offered {
        let name = (named.namespace.as_deref(), &*named.name);
        if let Some(first) = first.insert(name, path) {
            let at = member_path(path, "name");
            let shown = shown(&named.name);
            let message = format!("`{at}` is '{shown}', and so is that of `{first}`: send it once");
            return Err(unsupported(&at, message));
        }
    }
    Ok(())
}

/// Returns the name of a tool or namespace.
fn name(tool: &ClientObject<'_>, path: &str) -> Result<String, Error> {
    let name = tool.decoded_text("name", path)?;
    let at = member_path(path, "name");
    let name = name.ok_or_else(|| missing(&at))?;
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(unsupported(
            &at,
            format!(
                "`{at}` must have 1 to {LONGEST_NAME} bytes, found {} ('{}')",
                name.len(),
                shown(&name)
            ),
        ));
    }
    Ok(name.into_owned())
}

// === impl OfferedTool ===

impl OfferedTool<'_> {
    /// Returns the tool as a function of this name.
    fn function(&self, chat: &str, notes: &mut RequestNotes) -> Result<String, Error> {
        let Self { tool, path, named } = self;
        let mut json = format!(
            r#"{{"type":"function","function":{{"name":{}"#,
            quoted(chat)
        );
        let description = tool.text("description", path)?;
        let description = if named.custom {
            Some(self.described(description.map_or("", inner), notes)?)
        } else {
            description.map(str::to_owned)
        };
        // Writing to a string cannot fail.
        if let Some(description) = description {
            let _ = write!(json, r#","description":{description}"#);
        }
        let parameters = if named.custom {
            Some(INPUT_SCHEMA)
        } else {
            tool.object("parameters", path)?
        };
        if let Some(parameters) = parameters {
            let _ = write!(json, r#","parameters":{parameters}"#);
        }
        if let Some(strict) = tool.boolean("strict", path)?.filter(|_| !named.custom) {
            let _ = write!(json, r#","strict":{strict}"#);
        }
        json.push_str("}}");
        Ok(json)
    }

    /// Returns the description of a tool that takes a text, as JSON: with its grammar, which engines
    /// do not enforce.
    fn described(&self, text: &str, notes: &mut RequestNotes) -> Result<String, Error> {
        let path = member_path(&self.path, "format");
        let grammar = match self.tool.get("format") {
            None => None,
            Some(raw) if !raw.starts_with('{') => {
                return Err(invalid_type(&path, "an object", found(raw)));
            }
            Some(raw) => {
                let format = ClientObject::of(raw, &path)?;
                format.text("definition", &path)?
            }
        };
        let Some(grammar) = grammar else {
            return Ok(format!("\"{text}\""));
        };
        notes.say("the grammars of custom tools are told to the model and not enforced");
        Ok(format!(
            "\"{text}\\n\\nThe input has to follow this grammar:\\n{}\"",
            inner(grammar)
        ))
    }
}
