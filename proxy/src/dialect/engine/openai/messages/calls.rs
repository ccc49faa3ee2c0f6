//! The tool calls of a message, in the spelling that engines read.

use serde_json::Value;

use super::editor::MessageEditor;
use crate::{body::object::JsonObject, dialect::engine::messages::arguments::CallArguments};

// === impl MessageEditor ===

impl<'a> MessageEditor<'a> {
    /// Rewrites the call of a custom tool as the call of a function, which is all that templates know;
    /// reports whether it was one.
    fn custom(&mut self, call: &JsonObject<'a>) -> bool {
        let custom = call.get("custom").and_then(JsonObject::of);
        let Some(custom) = custom.filter(|_| !self.quirks.custom_tool_calls) else {
            return false;
        };
        let Some(name) = custom.get("name") else {
            return false;
        };
        let arguments = CallArguments::of(custom.get("input").unwrap_or("{}"));
        let text = Value::from(&*arguments.object);
        let id = call.get("id").filter(|id| id.starts_with('"'));
        let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
        self.set(
            call.text,
            format!(r#"{{{id}"type":"function","function":{{"name":{name},"arguments":{text}}}}}"#),
        );
        true
    }

    /// Rewrites an id that is a number as a text.
    pub(super) fn quote(&mut self, id: Option<&str>) {
        let is_number = |id: &&str| id.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        if let Some(id) = id.filter(is_number) {
            self.set(id, format!("\"{id}\""));
        }
    }

    /// Rewrites one tool call.
    pub(super) fn call(&mut self, text: &'a str) {
        let Some(call) = JsonObject::of(text) else {
            return;
        };
        let function = call.get("function").and_then(JsonObject::of);
        if function.is_none() && self.custom(&call) {
            return;
        }
        if let Some(id) = call.get("id")
            && let Ok(id) = serde_json::from_str::<String>(id)
        {
            self.call_ids.insert(id);
        }
        self.drop_nulls(&call, &[]);
        self.quote(call.get("id"));
        let Some(function) = function else {
            return;
        };
        if call.get("type").is_none_or(|raw| raw == "null") {
            self.add(&call, r#""type":"function""#);
        }
        let Some(raw) = function.get("arguments") else {
            self.add(&function, r#""arguments":"{}""#);
            return;
        };
        let arguments = CallArguments::of(raw);
        let is_text = raw.starts_with('"');
        self.rewritten_arguments += usize::from(arguments.is_rewritten);
        if arguments.is_rewritten || !is_text && !self.quirks.argument_objects {
            let text = Value::from(&*arguments.object).to_string();
            self.set(raw, text);
        }
    }
}
