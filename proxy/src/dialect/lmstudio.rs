//! What LM Studio refuses although OpenAI's API has it, in the form that LM Studio takes (reported
//! of 0.3 and 0.4).

use serde_json::{Value, value::RawValue};

/// `response_format` of the type `json_object` as the schema of any object, LM Studio's own way to
/// JSON; `None` where the format may stay. A schema that stands beside the type (llama.cpp's
/// spelling) keeps its bytes. [`is_no_format`] is the other thing that it refuses.
pub(crate) fn response_format(raw: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Format<'a> {
        r#type: String,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
    }
    let format: Format<'_> = serde_json::from_str(raw).ok()?;
    if format.r#type != "json_object" {
        return None;
    }
    let schema = match format.schema.map(RawValue::get) {
        Some(schema) if schema.starts_with('{') => schema,
        _ => r#"{"type":"object"}"#,
    };
    Some(format!(
        r#"{{"type":"json_schema","json_schema":{{"name":"json_object","schema":{schema}}}}}"#
    ))
}

/// A format that asks for nothing: no type, or null.
pub(crate) fn is_no_format(raw: &str) -> bool {
    serde_json::from_str::<Value>(raw)
        .is_ok_and(|format| format.is_object() && format.get("type").is_none_or(Value::is_null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_json_object_becomes_a_schema() {
        let any = r#"{"type":"json_schema","json_schema":{"name":"json_object","schema":{"type":"object"}}}"#;
        let own = r#"{"type":"json_schema","json_schema":{"name":"json_object","schema":{ "z":1.0,"a":[]}}}"#;
        for (raw, becomes) in [
            (r#"{"type":"json_object"}"#, Some(any)),
            (r#"{ "type" : "json_object", "schema":null }"#, Some(any)),
            (
                r#"{"type":"json_object","schema":{ "z":1.0,"a":[]}}"#,
                Some(own),
            ),
            (r#"{"type":"text"}"#, None),
            (any, None),
            (r#"{"type":"grammar"}"#, None),
            (r#"{"type":null}"#, None),
            (r#""json_object""#, None),
            ("[]", None),
        ] {
            assert_eq!(response_format(raw).as_deref(), becomes, "{raw}");
        }
    }

    #[test]
    fn a_format_without_a_type_asks_for_nothing() {
        for (raw, none) in [
            ("{}", true),
            (r#"{ "type" : null }"#, true),
            (r#"{"type":"text"}"#, false),
            (r#"{"type":7}"#, false),
            ("[]", false),
            (r#""text""#, false),
        ] {
            assert_eq!(is_no_format(raw), none, "{raw}");
        }
    }
}
