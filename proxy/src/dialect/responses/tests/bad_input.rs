//! Requests that cannot be served, and the field that each error names.

use super::read;
use crate::error::ErrorKind;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_is_wrong_is_named() {
    use ErrorKind::{DuplicateKey, InvalidJson, InvalidType, MissingField, UnsupportedValue};
    let user = |content: &str| format!(r#"{{"input":[{{"role":"user","content":{content}}}]}}"#);
    let item = |item: &str| format!(r#"{{"input":[{{"role":"user","content":"u"}},{item}]}}"#);
    let tool = |tool: &str| format!(r#"{{"input":"u","tools":[{tool}]}}"#);
    let choice = |choice: &str| {
        format!(
            r#"{{"input":"u","tools":[{{"type":"function","name":"f"}}],"tool_choice":{choice}}}"#
        )
    };
    let many = format!(
        r#"{{"input":"u","tools":[{}]}}"#,
        vec![r#"{"type":"function","name":"f"}"#; 10_000].join(",")
    );
    let long = "n".repeat(129);
    for (body, kind, param) in [
        ("{".to_owned(), InvalidJson, None),
        ("[]".to_owned(), InvalidJson, None),
        (
            r#"{"input":"a","input":"b"}"#.to_owned(),
            DuplicateKey,
            Some("input"),
        ),
        (
            r#"{"input":"a","stream":1}"#.to_owned(),
            InvalidType,
            Some("stream"),
        ),
        ("{}".to_owned(), MissingField, Some("input")),
        (r#"{"messages":[]}"#.to_owned(), MissingField, Some("input")),
        (r#"{"input":7}"#.to_owned(), InvalidType, Some("input")),
        (
            r#"{"input":[]}"#.to_owned(),
            UnsupportedValue,
            Some("input"),
        ),
        (
            r#"{"input":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]}]}"#.to_owned(),
            UnsupportedValue,
            Some("input"),
        ),
        (
            r#"{"input":"u","tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"},{"type":"custom","name":"f"}]},{"type":"function","name":"f"}]}"#.to_owned(),
            UnsupportedValue,
            Some("tools[0].tools[1].name"),
        ),
        (
            r#"{"input":["u"]}"#.to_owned(),
            InvalidType,
            Some("input[0]"),
        ),
        (
            r#"{"input":[{}]}"#.to_owned(),
            MissingField,
            Some("input[0].type"),
        ),
        (
            r#"{"input":[{"type":7}]}"#.to_owned(),
            InvalidType,
            Some("input[0].type"),
        ),
        (
            r#"{"input":[{"id":"msg_1"}]}"#.to_owned(),
            UnsupportedValue,
            Some("input[0]"),
        ),
        (
            item(r#"{"type":"item_reference","id":"x"}"#),
            UnsupportedValue,
            Some("input[1]"),
        ),
        (
            item(r#"{"role":"robot","content":"x"}"#),
            UnsupportedValue,
            Some("input[1].role"),
        ),
        (
            item(r#"{"type":"message","content":"x"}"#),
            MissingField,
            Some("input[1].role"),
        ),
        (
            item(r#"{"role":"user"}"#),
            MissingField,
            Some("input[1].content"),
        ),
        (user("7"), InvalidType, Some("input[0].content")),
        (user("[7]"), InvalidType, Some("input[0].content[0]")),
        (user("[{}]"), MissingField, Some("input[0].content[0].type")),
        (
            user(r#"[{"type":"input_text"}]"#),
            MissingField,
            Some("input[0].content[0].text"),
        ),
        (
            user(r#"[{"type":"input_text","text":7}]"#),
            InvalidType,
            Some("input[0].content[0].text"),
        ),
        (
            user(r#"[{"type":"input_image"}]"#),
            MissingField,
            Some("input[0].content[0].image_url"),
        ),
        (
            user(r#"[{"type":"input_image","file_id":"f"}]"#),
            UnsupportedValue,
            Some("input[0].content[0].file_id"),
        ),
        (
            user(r#"[{"type":"input_image","image_url":"data:image/png;base64,a!"}]"#),
            UnsupportedValue,
            Some("input[0].content[0].image_url"),
        ),
        (
            user(r#"[{"type":"input_image","image_url":"data:image/png"}]"#),
            UnsupportedValue,
            Some("input[0].content[0].image_url"),
        ),
        (
            user(r#"[{"type":"input_file","file_data":"x"}]"#),
            UnsupportedValue,
            Some("input[0].content[0]"),
        ),
        (
            item(r#"{"type":"function_call","name":"f","arguments":"{}"}"#),
            MissingField,
            Some("input[1].call_id"),
        ),
        (
            item(r#"{"type":"function_call","call_id":"1","arguments":"{}"}"#),
            MissingField,
            Some("input[1].name"),
        ),
        (
            item(r#"{"type":"function_call","call_id":"1","name":"f","arguments":7}"#),
            InvalidType,
            Some("input[1].arguments"),
        ),
        (
            item(r#"{"type":"function_call_output","call_id":"1","output":"x"}"#),
            UnsupportedValue,
            Some("input[1].call_id"),
        ),
        (
            item(
                r#"{"type":"function_call","call_id":"1","name":"f"},{"type":"function_call_output","call_id":"1"}"#,
            ),
            MissingField,
            Some("input[2].output"),
        ),
        (
            item(r#"{"type":"reasoning","summary":"x"}"#),
            InvalidType,
            Some("input[1].summary"),
        ),
        (
            r#"{"input":"u","instructions":[]}"#.to_owned(),
            InvalidType,
            Some("instructions"),
        ),
        (
            r#"{"input":"u","tools":{}}"#.to_owned(),
            InvalidType,
            Some("tools"),
        ),
        (tool("7"), InvalidType, Some("tools[0]")),
        (tool("{}"), MissingField, Some("tools[0].type")),
        (
            tool(r#"{"type":"function"}"#),
            MissingField,
            Some("tools[0].name"),
        ),
        (
            tool(r#"{"type":"function","name":""}"#),
            UnsupportedValue,
            Some("tools[0].name"),
        ),
        (
            tool(&format!(r#"{{"type":"function","name":"{long}"}}"#)),
            UnsupportedValue,
            Some("tools[0].name"),
        ),
        (
            tool(r#"{"type":"function","name":"f","parameters":[]}"#),
            InvalidType,
            Some("tools[0].parameters"),
        ),
        (
            tool(r#"{"type":"namespace","name":"n","tools":[{"type":"function"}]}"#),
            MissingField,
            Some("tools[0].tools[0].name"),
        ),
        (many, UnsupportedValue, Some("tools")),
        (
            choice(r#""sometimes""#),
            UnsupportedValue,
            Some("tool_choice"),
        ),
        (choice("7"), InvalidType, Some("tool_choice")),
        (choice("{}"), MissingField, Some("tool_choice.type")),
        (
            choice(r#"{"type":"function","name":"g"}"#),
            UnsupportedValue,
            Some("tool_choice.name"),
        ),
        (
            choice(
                r#"{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"g"}]}"#,
            ),
            UnsupportedValue,
            Some("tool_choice.tools[0].name"),
        ),
        (
            choice(r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"mcp"}]}"#),
            UnsupportedValue,
            Some("tool_choice.tools"),
        ),
        (
            r#"{"input":"u","max_output_tokens":0}"#.to_owned(),
            UnsupportedValue,
            Some("max_output_tokens"),
        ),
        (
            r#"{"input":"u","max_output_tokens":"9"}"#.to_owned(),
            InvalidType,
            Some("max_output_tokens"),
        ),
        (
            r#"{"input":"u","temperature":"1"}"#.to_owned(),
            InvalidType,
            Some("temperature"),
        ),
        (
            r#"{"input":"u","text":"json"}"#.to_owned(),
            InvalidType,
            Some("text"),
        ),
        (
            r#"{"input":"u","text":{"format":{}}}"#.to_owned(),
            MissingField,
            Some("text.format.type"),
        ),
        (
            r#"{"input":"u","text":{"format":{"type":"json_schema","name":"n"}}}"#.to_owned(),
            MissingField,
            Some("text.format.schema"),
        ),
        (
            r#"{"input":"u","reasoning":"low"}"#.to_owned(),
            InvalidType,
            Some("reasoning"),
        ),
        (
            r#"{"input":"u","previous_response_id":"resp_1"}"#.to_owned(),
            UnsupportedValue,
            Some("previous_response_id"),
        ),
        (
            r#"{"input":"u","conversation":"c"}"#.to_owned(),
            UnsupportedValue,
            Some("conversation"),
        ),
        (
            r#"{"input":"u","background":true}"#.to_owned(),
            UnsupportedValue,
            Some("background"),
        ),
        (
            r#"{"prompt":{"id":"p"}}"#.to_owned(),
            UnsupportedValue,
            Some("prompt"),
        ),
    ] {
        let shown: String = body.chars().take(200).collect();
        let error = read(&body).expect_err(&shown);
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (kind, param),
            "{shown}: {error}"
        );
        if let Some(param) = param {
            assert!(
                error.message.contains(&format!("`{param}`")) || kind == UnsupportedValue,
                "{error}"
            );
        }
    }
}
