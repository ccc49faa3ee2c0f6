//! Tools and the choice among them.

use std::{collections::HashMap, fmt::Write as _};

use super::{json, notes::MessagesNotes, settings::RequestSettings};
use crate::{
    body::peek::found,
    dialect::chat::{
        client_object::{ClientObject, elements},
        field_error::{invalid_type, missing},
        field_path::FieldPath,
    },
    error::Error,
    prefix::CACHE_CONTROL,
};

/// The tools of a request, as a chat has them.
#[derive(Default)]
pub(super) struct OfferedTools {
    /// The elements of the chat's `tools`, with commas between them.
    pub(super) list: String,
    /// The JSON of their names, each with its place in the client's list.
    names: HashMap<String, usize>,
    /// The JSON of the names of those that are not offered.
    dropped: Vec<String>,
}

// === impl OfferedTools ===

impl OfferedTools {
    /// Reads `tools`. Schemas keep their bytes; tools that only Anthropic's servers or models know are left
    /// out.
    pub(super) fn of(
        raw: &str,
        settings: RequestSettings,
        notes: &mut MessagesNotes,
    ) -> Result<Self, Error> {
        let top = FieldPath::Named("tools");
        let mut offered = Self::default();
        for (number, tool) in elements(raw, top)?.into_iter().enumerate() {
            let at = FieldPath::Element(&top, number);
            offered.tool(&ClientObject::of(tool, at)?, number, settings, notes)?;
        }
        Ok(offered)
    }

    fn tool(
        &mut self,
        tool: &ClientObject<'_>,
        number: usize,
        settings: RequestSettings,
        notes: &mut MessagesNotes,
    ) -> Result<(), Error> {
        let top = FieldPath::Named("tools");
        let at = FieldPath::Element(&top, number);
        let kind = tool.kind();
        let schema = tool.get("input_schema");
        let is_custom = matches!(&*kind, "" | "custom" | "function");
        if !is_custom && schema.is_none() {
            notes.drop_tool(&kind);
            self.dropped.extend(tool.get("name").map(str::to_owned));
            return Ok(());
        }
        let name = tool.needs_text("name", at)?;
        let place = FieldPath::Member(&at, "name");
        json::bounded(name, place)?;
        if let Some(first) = self.names.insert(name.to_owned(), number) {
            let shown = json::shown(name);
            let why = format!("is '{shown}', and so is that of `tools[{first}]`: send it once");
            return Err(json::unsupported(place, &why));
        }
        let here = FieldPath::Member(&at, "input_schema");
        let schema = schema.ok_or_else(|| missing(here))?;
        if !schema.starts_with('{') {
            return Err(invalid_type(here, "an object", found(schema)));
        }
        let comma = if self.list.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            self.list,
            r#"{comma}{{"type":"function","function":{{"name":{name}"#
        );
        if let Some(text) = tool.get("description") {
            let text = json::text(text, FieldPath::Member(&at, "description"))?;
            let _ = write!(self.list, r#","description":{text}"#);
        }
        let _ = write!(self.list, r#","parameters":{schema}}}"#);
        match tool.get("cache_control") {
            Some(kept) if settings.keeps_cache_control => {
                let _ = write!(self.list, r#","cache_control":{kept}"#);
            }
            Some(_) => notes.say(CACHE_CONTROL.note),
            None => {}
        }
        self.list.push('}');
        Ok(())
    }

    /// Writes `tool_choice` and `parallel_tool_calls` for a choice of the client. Without tools it is only
    /// checked, because engines refuse a choice among none.
    pub(super) fn write_choice(
        &self,
        raw: &str,
        notes: &mut MessagesNotes,
        out: &mut String,
    ) -> Result<(), Error> {
        let top = FieldPath::Named("tool_choice");
        let choice = ClientObject::of(raw, top)?;
        let kind = choice.kind();
        let word = match &*kind {
            "auto" => "\"auto\"".to_owned(),
            "any" | "required" => "\"required\"".to_owned(),
            "none" => "\"none\"".to_owned(),
            "tool" => {
                let name = choice.needs_text("name", top)?;
                if self.dropped.iter().any(|dropped| dropped == name) {
                    notes.say("tool_choice is dropped: the tool that it names is not offered");
                    return Ok(());
                }
                if !self.names.contains_key(name) {
                    return Err(json::unsupported(
                        FieldPath::Member(&top, "name"),
                        &format!("is '{}', which is not among `tools`", json::shown(name)),
                    ));
                }
                format!(r#"{{"type":"function","function":{{"name":{name}}}}}"#)
            }
            "" => return Err(missing(FieldPath::Member(&top, "type"))),
            _ => {
                let kind = choice.get("type").unwrap_or_default();
                return Err(json::unsupported(
                    FieldPath::Member(&top, "type"),
                    &format!("is '{}': send auto, any, tool or none", json::shown(kind)),
                ));
            }
        };
        if self.list.is_empty() {
            if word == "\"required\"" {
                notes.say("tool_choice is dropped: no tool is left to call");
            }
            return Ok(());
        }
        // Writing to a String cannot fail.
        let _ = write!(out, r#","tool_choice":{word}"#);
        if choice.get("disable_parallel_tool_use") == Some("true") {
            out.push_str(r#","parallel_tool_calls":false"#);
        }
        Ok(())
    }
}
