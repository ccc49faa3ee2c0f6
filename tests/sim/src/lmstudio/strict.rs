//! What `/v1/chat/completions` of LM Studio refuses although OpenAI's API takes it. Each is reported,
//! not seen; the words are those of the reports where they quote some, and each comes as 400 with a
//! bare string.

use serde_json::{Value, json};

use crate::http::{self, Reply};

/// The refusal of a body, if it asks for what LM Studio does not take.
pub(crate) fn refusal(body: &Value) -> Option<Reply> {
    let text = null(body)
        .or_else(|| response_format(body))
        .or_else(|| tool_choice(body))
        .or_else(|| max_tokens(body))?;
    Some(http::json(400, &json!({"error": text})))
}

/// The documented parameters, and those that its change log names.
const PARAMETERS: [&str; 17] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "stream",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "repeat_penalty",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "stream_options",
];

/// Explicit nulls: LM Studio is reported to fail on some of them, which ones and in which words is
/// not told; here on every parameter that it documents.
fn null(body: &Value) -> Option<String> {
    let is_null = |name: &&&str| body.get(**name).is_some_and(Value::is_null);
    let name = PARAMETERS.iter().find(is_null)?;
    Some(format!("'{name}' must not be null"))
}

/// "Refused by `/v1/chat/completions`: `response_format.type` other than `json_schema` or `text`"
/// (0.4; before 0.3.7 or so `text` too: bt#169, bt#189, bt#307).
fn response_format(body: &Value) -> Option<String> {
    let format = body.get("response_format")?;
    let known = matches!(format["type"].as_str(), Some("json_schema" | "text"));
    (!known).then(|| "'response_format.type' must be 'json_schema' or 'text'".to_owned())
}

/// "`tool_choice` as an object ("Supported string values: none, auto, required")" (bt#670).
fn tool_choice(body: &Value) -> Option<String> {
    const KNOWN: &str = "Supported string values: none, auto, required";
    let choice = body.get("tool_choice")?;
    match choice {
        Value::String(choice) if matches!(choice.as_str(), "none" | "auto" | "required") => None,
        Value::String(choice) => Some(format!("Invalid tool_choice value: '{choice}'. {KNOWN}")),
        other => Some(format!(
            "Invalid tool_choice type: '{}'. {KNOWN}",
            type_of(other)
        )),
    }
}

/// "`max_tokens: -1` is LM Studio's own documented "no limit"; values below 1 other than -1 are
/// refused by some versions"; this one is such a version.
fn max_tokens(body: &Value) -> Option<String> {
    let limit = body.get("max_tokens")?;
    let fits = limit.as_i64().is_some_and(|limit| limit == -1 || limit > 0);
    (!fits).then(|| "'max_tokens' must be a positive integer or -1".to_owned())
}

/// JavaScript's `typeof`, for which `null` and arrays are objects.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Null | Value::Array(_) | Value::Object(_) => "object",
    }
}

/// `tool_choice: "required"` makes the model call one of the offered tools; here the first.
pub(crate) fn forced_tool(body: &Value) -> Option<String> {
    let required = body.get("tool_choice")?.as_str()? == "required";
    let first = body.get("tools")?.get(0)?;
    let name = first["function"]["name"].as_str()?;
    required.then(|| name.to_owned())
}
