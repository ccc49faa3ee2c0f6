//! `cache_control` in the places where clients write it.

use serde_json::value::RawValue;

use crate::body::object::JsonObject;

const NAME: &str = "cache_control";

/// Finds it in a list of messages: in a message, in the parts of its content and in its calls.
pub(super) fn in_messages(messages: &str) -> Vec<&[u8]> {
    let mut found = Vec::new();
    for message in elements(messages) {
        let Some(message) = JsonObject::of(message) else {
            continue;
        };
        found.extend(in_object(&message));
        for name in ["content", "tool_calls"] {
            let inner = message.get(name).map(elements).unwrap_or_default();
            let inner = inner.into_iter().filter_map(JsonObject::of);
            found.extend(inner.filter_map(|part| in_object(&part)));
        }
    }
    found
}

/// Finds it in a list of tools: in a tool and in its function, never in a schema.
pub(super) fn in_tools(tools: &str) -> Vec<&[u8]> {
    let mut found = Vec::new();
    for tool in elements(tools) {
        let Some(tool) = JsonObject::of(tool) else {
            continue;
        };
        found.extend(in_object(&tool));
        let function = tool.get("function").and_then(JsonObject::of);
        found.extend(function.and_then(|function| in_object(&function)));
    }
    found
}

fn elements(list: &str) -> Vec<&str> {
    let list: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
    list.into_iter().map(RawValue::get).collect()
}

/// Returns the member of an object with the comma that goes with it.
fn in_object<'a>(object: &JsonObject<'a>) -> Option<&'a [u8]> {
    let mut members = object.members.iter();
    let at = members.position(|(name, ..)| name == NAME)?;
    object.text.as_bytes().get(object.with_comma(at))
}
