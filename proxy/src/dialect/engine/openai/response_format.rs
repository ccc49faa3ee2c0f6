//! `response_format` for engines that take only the type `json_schema`, as LM Studio (reported of 0.3
//! and 0.4).

use serde_json::{Value, value::RawValue};

/// Returns `response_format` as a `json_schema`, and the note on it; `None` where it may stay.
///
/// The type `json_object` becomes the schema of any object, LM Studio's own way to JSON. A schema beside
/// the type, which is llama.cpp's spelling, moves to its place and keeps its bytes. A format without a
/// type is [another matter](is_no_format).
pub(super) fn json_schema_format(raw: &str) -> Option<(String, &'static str)> {
    #[derive(serde::Deserialize)]
    struct ResponseFormat<'a> {
        r#type: String,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        #[serde(borrow)]
        json_schema: Option<&'a RawValue>,
    }
    let format: ResponseFormat<'_> = serde_json::from_str(raw).ok()?;
    let beside = format.schema.map(RawValue::get);
    let beside = beside.filter(|schema| schema.starts_with('{'));
    let (name, schema, note) = match (&*format.r#type, beside) {
        (name @ "json_object", schema) => (
            name,
            schema.unwrap_or(r#"{"type":"object"}"#),
            "response_format json_object is sent as json_schema",
        ),
        (name @ "json_schema", Some(schema)) if format.json_schema.is_none() => (
            name,
            schema,
            "response_format.schema is sent as response_format.json_schema.schema",
        ),
        _ => return None,
    };
    let format =
        format!(r#"{{"type":"json_schema","json_schema":{{"name":"{name}","schema":{schema}}}}}"#);
    Some((format, note))
}

/// Reports whether a format asks for nothing: its type is absent or null.
pub(super) fn is_no_format(raw: &str) -> bool {
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
        let flat = r#"{"type":"json_schema","json_schema":{"name":"json_schema","schema":{ "z":1.0,"a":[]}}}"#;
        for (raw, becomes) in [
            (r#"{"type":"json_object"}"#, Some(any)),
            (r#"{ "type" : "json_object", "schema":null }"#, Some(any)),
            (
                r#"{"type":"json_object","schema":{ "z":1.0,"a":[]}}"#,
                Some(own),
            ),
            (
                r#"{"type":"json_schema","schema":{ "z":1.0,"a":[]}}"#,
                Some(flat),
            ),
            (r#"{"type":"json_schema","schema":7}"#, None),
            (r#"{"type":"json_schema"}"#, None),
            (r#"{"type":"text"}"#, None),
            (any, None),
            (r#"{"type":"grammar"}"#, None),
            (r#"{"type":null}"#, None),
            (r#""json_object""#, None),
            ("[]", None),
        ] {
            let format = json_schema_format(raw).map(|(format, _)| format);
            assert_eq!(format.as_deref(), becomes, "{raw}");
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
