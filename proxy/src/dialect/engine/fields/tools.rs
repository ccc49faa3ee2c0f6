//! Offered tools in the form that engines read: functions with a JSON schema of objects.
//!
//! Generators of schemas write what templates and Go's decoder do not take: a schema that is `true`,
//! members that are null, a list of types at the top. Clients offer tools of other kinds, or in the
//! form of another API. Each would be 400 for as long as the tool is offered (tried: llama.cpp's
//! server b11434, Ollama 0.33). A tool that has none of these keeps its bytes.

use serde_json::{Map, Value, json, value::RawValue};

use crate::{body::peek::found, dialect::chat::field_error::invalid_type, error::Error};

/// The tools of a request for engines that read functions only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RewrittenTools {
    /// The list as it is sent; `None` where nothing is left of it.
    pub(crate) list: Option<String>,
    /// The sentence for `x-crucible-note` about tools that were left out; `None` where none was.
    pub(crate) note: Option<String>,
}

/// Members of a schema in which null is a value.
const VALUES: [&str; 4] = ["default", "const", "example", "examples"];
/// Members of a schema that hold a schema under each name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Members of a schema that hold a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];

/// Returns the list of tools as such engines read it; `None` where it may stay.
///
/// # Errors
/// `invalid_type` for a tool that is no object, with its place.
pub(crate) fn rewritten_tools(raw: &str) -> Result<Option<RewrittenTools>, Error> {
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return Ok(None);
    };
    let mut dropped: Vec<String> = Vec::new();
    let mut changed = false;
    let mut sent = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        let Ok(mut value) = serde_json::from_str::<Value>(tool.get()) else {
            return Ok(None);
        };
        if !value.is_object() && !value.is_null() {
            let path = format!("tools[{at}]");
            return Err(invalid_type(&path, "an object", found(tool.get())));
        }
        match mend(&mut value) {
            MendedTool::Same => sent.push(tool.get().to_owned()),
            MendedTool::Written => {
                changed = true;
                sent.push(value.to_string());
            }
            MendedTool::NoFunction => {
                let kind = value["type"].as_str().unwrap_or("none");
                // It stands in a header.
                let kind = kind.chars().filter(char::is_ascii_graphic);
                dropped.push(kind.take(32).collect());
            }
        }
    }
    if !changed && dropped.is_empty() {
        return Ok(None);
    }
    dropped.sort();
    dropped.dedup();
    Ok(Some(RewrittenTools {
        list: (!sent.is_empty()).then(|| format!("[{}]", sent.join(","))),
        note: (!dropped.is_empty()).then(|| {
            let kinds = dropped.join(", ");
            format!("tools that are no functions are not offered (type {kinds})")
        }),
    }))
}

enum MendedTool {
    Same,
    Written,
    /// The tool is no function, and no engine here has a place for it.
    NoFunction,
}

fn mend(tool: &mut Value) -> MendedTool {
    let Value::Object(members) = tool else {
        return MendedTool::NoFunction;
    };
    let mut changed = drop_nulls(members, &[]);
    // The form of OpenAI's responses, and Anthropic's.
    let may_be = |kind: &Value| kind == "function" || members.contains_key("input_schema");
    if members.get("type").is_none_or(may_be)
        && !members.contains_key("function")
        && members.get("name").is_some_and(Value::is_string)
    {
        let mut function = std::mem::take(members);
        function.shift_remove("type");
        members.insert("type".to_owned(), "function".into());
        members.insert("function".to_owned(), function.into());
        changed = true;
    }
    let Some(Value::Object(function)) = members.get_mut("function") else {
        return MendedTool::NoFunction;
    };
    changed |= drop_nulls(function, &[]);
    if !function.contains_key("parameters")
        && let Some(schema) = function.shift_remove("input_schema")
    {
        function.insert("parameters".to_owned(), schema);
        changed = true;
    }
    if let Some(Value::Object(parameters)) = function.get_mut("parameters") {
        changed |= schema_of(parameters);
        // Ollama's decoder takes one type there.
        if let Some(Value::Array(types)) = parameters.get("type")
            && types.iter().any(|word| word == "object")
        {
            parameters.insert("type".to_owned(), "object".into());
            changed = true;
        }
    }
    if !members.contains_key("type") {
        members.insert("type".to_owned(), "function".into());
        changed = true;
    }
    if changed {
        MendedTool::Written
    } else {
        MendedTool::Same
    }
}

fn drop_nulls(members: &mut Map<String, Value>, but: &[&str]) -> bool {
    let before = members.len();
    members.retain(|name, value| !value.is_null() || but.contains(&&**name));
    members.len() < before
}

/// Mends a schema in a schema: one that is true, false or null becomes an object, because templates
/// read only objects. Reports whether it changed.
fn schema(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => schema_of(members),
        Value::Bool(_) | Value::Null => {
            *value = json!({});
            true
        }
        _ => false,
    }
}

fn schema_of(members: &mut Map<String, Value>) -> bool {
    // A property may be called as a member of a schema is: those are looked at by their place only.
    let mut changed = false;
    for name in NAMED {
        if let Some(inner) = members.get_mut(name).and_then(Value::as_object_mut) {
            for (_, one) in inner.iter_mut() {
                changed |= schema(one);
            }
        }
    }
    for name in LISTS {
        for one in members
            .get_mut(name)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            changed |= schema(one);
        }
    }
    match members.get_mut("items") {
        Some(Value::Array(list)) => {
            for one in list {
                changed |= schema(one);
            }
        }
        Some(one) if !one.is_null() => changed |= schema(one),
        _ => {}
    }
    if let Some(Value::Object(more)) = members.get_mut("additionalProperties") {
        changed |= schema_of(more);
    }
    changed | drop_nulls(members, &VALUES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(parameters: &str) -> String {
        format!(r#"[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]"#)
    }

    #[test]
    fn what_engines_read_keeps_its_bytes() {
        for raw in [
            r#"[ {"type":"function", "function":{"name":"f","strict":true,"parameters":{ "type":"object","z":1.0}}} ]"#,
            &with(
                r#"{"type":"object","properties":{"x":{"default":null,"enum":[1,null],"type":["string","null"]}},"additionalProperties":false}"#,
            ),
            &with(
                r#"{"type":"object","properties":{"null":{"const":null},"items":{"type":"string"}}}"#,
            ),
            "[]",
            "7",
        ] {
            assert_eq!(rewritten_tools(raw).unwrap(), None, "{raw}");
        }
    }

    #[test]
    fn schemas_are_objects_all_the_way_down() {
        for (from, becomes) in [
            (
                r#"{"type":"object","properties":null}"#,
                r#"{"type":"object"}"#,
            ),
            (
                r#"{"properties":{"a":true,"b":false,"c":null,"d":{"items":true,"description":null}}}"#,
                r#"{"properties":{"a":{},"b":{},"c":{},"d":{"items":{}}}}"#,
            ),
            (
                r#"{"properties":{"x":{"anyOf":[true,{"properties":{"y":true}}]}},"$defs":{"z":true}}"#,
                r#"{"properties":{"x":{"anyOf":[{},{"properties":{"y":{}}}]}},"$defs":{"z":{}}}"#,
            ),
            (
                r#"{"type":["object","null"],"required":null,"additionalProperties":{"items":false}}"#,
                r#"{"type":"object","additionalProperties":{"items":{}}}"#,
            ),
        ] {
            let found = rewritten_tools(&with(from)).unwrap().unwrap();
            assert_eq!(found.list, Some(with(becomes)), "{from}");
            assert_eq!(found.note, None);
        }
    }

    #[test]
    fn tools_of_other_forms_are_functions_or_not_offered() {
        let f = r#"{"function":{"name":"f"},"type":"function"}"#;
        for (from, becomes, note) in [
            (r#"[{"function":{"name":"f"}}]"#, Some(format!("[{f}]")), false),
            (
                r#"[{"type":null,"function":{"name":"f","description":null,"strict":null}}]"#,
                Some(format!("[{f}]")),
                false,
            ),
            (
                r#"[{"type":"function","name":"f","parameters":{"type":"object"}}]"#,
                Some(r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#.to_owned()),
                false,
            ),
            (
                r#"[{"name":"f","input_schema":{"type":"object"}}]"#,
                Some(r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#.to_owned()),
                false,
            ),
            (
                r#"[{"type":"custom","name":"f","description":"d","input_schema":{"properties":{"a":true}}}]"#,
                Some(r#"[{"type":"function","function":{"name":"f","description":"d","parameters":{"properties":{"a":{}}}}}]"#.to_owned()),
                false,
            ),
            (r#"[{"type":"web_search"},{"type":"namespace","name":"n","tools":[]}]"#, None, true),
            (&*format!(r#"[{{"type":"custom","custom":{{"name":"c"}}}},{f},null]"#), Some(format!("[{f}]")), true),
        ] {
            let found = rewritten_tools(from).unwrap().unwrap();
            assert_eq!((found.list, found.note.is_some()), (becomes, note), "{from}");
        }
    }

    #[test]
    fn what_is_no_tool_at_all_is_named_by_its_place() {
        for (raw, param) in [
            ("[5]", "tools[0]"),
            (r#"[{"function":{"name":"f"}},"x"]"#, "tools[1]"),
            ("[null,[]]", "tools[1]"),
        ] {
            let error = rewritten_tools(raw).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{raw}");
            assert!(error.message.contains("an object"), "{}", error.message);
        }
    }
}
