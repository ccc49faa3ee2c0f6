//! What llama.cpp's server refuses of a chat request, in its own words (seen on b11549).

use serde_json::Value;

use super::error;
use crate::http::Reply;
use crate::model_spec::ModelSpec;

/// The refusal of a body. `slots` bounds the choices.
pub(crate) fn refusal(body: &Value, model: &ModelSpec, slots: usize) -> Option<Reply> {
    numbers(body, slots)
        .or_else(|| words(body))
        .or_else(|| chat(body, model))
}

/// A lone surrogate, which its parser of JSON refuses (seen on b11434).
pub(crate) fn half_a_character(body: &[u8]) -> Option<Reply> {
    let error = serde_json::from_slice::<Value>(body).err()?.to_string();
    let half = error.contains("surrogate") || error.contains("hex escape");
    half.then(|| {
        invalid(
            "[json.exception.parse_error.101] parse error: syntax error while parsing value - \
             invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF",
        )
    })
}

/// The limit of an answer: the newer name first; -1 and null are none, and 0 gives one token.
/// Fractions are cut, and what is beyond 32 bits wraps.
pub(crate) fn limit(body: &Value) -> Option<u64> {
    let names = ["max_completion_tokens", "max_tokens"];
    let value = names
        .iter()
        .find_map(|name| body.get(*name).filter(|value| !value.is_null()))?;
    u64::try_from(wrapped(value)).ok().map(|limit| limit.max(1))
}

/// A number as a 32-bit integer of C++: 2^63 is 0.
fn wrapped(value: &Value) -> i64 {
    if let Some(whole) = value.as_i64() {
        let low = whole.rem_euclid(1 << 32);
        return if low < 1 << 31 { low } else { low - (1 << 32) };
    }
    match value.as_f64() {
        Some(float) if float.abs() < 2_147_483_648.0 => {
            format!("{:.0}", float.trunc()).parse().unwrap_or(0)
        }
        // An unsigned one of 2^63 or more has its low bits left; other floats are the smallest.
        Some(_) if value.is_u64() => 0,
        _ => i64::from(i32::MIN),
    }
}

fn invalid(message: &str) -> Reply {
    error(400, "invalid_request_error", message)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Booleans pass for 0 and 1, null for absent.
fn numbers(body: &Value, slots: usize) -> Option<Reply> {
    let most = i64::try_from(slots).unwrap_or(1);
    for (name, range) in [
        ("max_tokens", Some((-1, i64::from(i32::MAX)))),
        ("max_completion_tokens", Some((-1, i64::from(i32::MAX)))),
        ("n", Some((1, most))),
        ("seed", None),
        ("top_k", None),
        ("temperature", None),
        ("top_p", None),
        ("min_p", None),
        ("frequency_penalty", None),
        ("presence_penalty", None),
        ("top_logprobs", None),
    ] {
        let Some(value) = body.get(name).filter(|v| !v.is_null() && !v.is_boolean()) else {
            continue;
        };
        if !value.is_number() {
            return Some(invalid(&format!(
                "Field '{name}': [json.exception.type_error.302] type must be number, but is {}",
                kind(value)
            )));
        }
        let got = wrapped(value);
        if let Some((least, most)) = range
            && !(least..=most).contains(&got)
        {
            return Some(invalid(&format!(
                "Field '{name}': Value must be between {least} <= value <= {most}, but got {got}"
            )));
        }
    }
    let wanted = body.get("top_logprobs").and_then(Value::as_f64);
    let given = match body.get("logprobs") {
        Some(Value::Bool(on)) => *on,
        Some(Value::Number(_)) => true,
        _ => false,
    };
    if wanted.is_some_and(|count| count > 0.0) && !given {
        return Some(invalid("top_logprobs requires logprobs to be set to true"));
    }
    None
}

fn words(body: &Value) -> Option<Reply> {
    if let Some(choice) = body.get("tool_choice").and_then(Value::as_str)
        && !matches!(choice, "none" | "auto" | "required")
    {
        return Some(invalid(&format!("Invalid tool_choice: {choice}")));
    }
    let format = body.get("response_format")?;
    match format["type"].as_str() {
        Some("text" | "json_object" | "json_schema") | None => None,
        Some(other) => Some(invalid(&format!(
            "response_format type must be one of \"text\" or \"json_object\", but got: {other}"
        ))),
    }
}

/// Its own faults, by the status, are the client's here.
fn fault(message: &str) -> Reply {
    error(500, "server_error", message)
}

/// Messages first, then tools, then what the model's template makes of both.
fn chat(body: &Value, model: &ModelSpec) -> Option<Reply> {
    let Value::Array(messages) = body.get("messages")? else {
        return Some(invalid("Expected 'messages' to be an array"));
    };
    messages
        .iter()
        .find_map(|message| refused_message(message, model))
        .or_else(|| {
            let words = messages.iter().find_map(unread)?;
            Some(fault(&format!("Failed to parse messages: {words}")))
        })
        .or_else(|| refused_tools(&body["tools"], model))
        .or_else(|| refused_by_template(messages, model))
}

fn refused_message(message: &Value, model: &ModelSpec) -> Option<Reply> {
    let Some(role) = message["role"].as_str() else {
        return Some(fault(&format!(
            "Failed to parse messages: Missing 'role' in message: {message}"
        )));
    };
    let content = message.get("content");
    if content.is_none() && role != "assistant" {
        return Some(invalid("All non-assistant messages must contain 'content'"));
    }
    if content.is_none() && message.get("tool_calls").is_none() {
        return Some(invalid(
            "Assistant message must contain either 'content' or 'tool_calls'!",
        ));
    }
    if content.is_some_and(|c| !c.is_string() && !c.is_null() && !c.is_array()) {
        return Some(invalid("Expected 'content' to be a string or an array"));
    }
    let mut parts = message["content"].as_array().into_iter().flatten();
    parts.find_map(|part| refused_part(part, model))
}

fn refused_part(part: &Value, model: &ModelSpec) -> Option<Reply> {
    let medium = match part["type"].as_str() {
        Some("image_url") if !model.sees() => "image",
        Some("input_audio") => "audio",
        Some("video_url" | "input_video") => "video",
        Some("image_url") => return image(part),
        Some("text") => return None,
        _ => return Some(invalid("unsupported content[].type")),
    };
    Some(fault(&format!(
        "{medium} input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    )))
}

/// All types come before the first other fault of a tool.
fn refused_tools(tools: &Value, model: &ModelSpec) -> Option<Reply> {
    let parse = |words: &str| {
        fault(&format!(
            "Failed to parse tools: {words}; tools = {tools:#}"
        ))
    };
    let each = || tools.as_array().into_iter().flatten();
    if let Some(tool) = each().find(|tool| tool.get("type").is_none()) {
        return Some(parse(&format!("Missing tool type: {tool}")));
    }
    each().find_map(|tool| {
        if let Some(words) = unread_tool(tool) {
            return Some(parse(&words));
        }
        let read = model.takes_tools();
        let path = read.then(|| odd_schema(&tool["function"]["parameters"], "#"))??;
        Some(invalid(&format!(
            "Unable to generate parser for this template. Automatic parser generation failed: \
             JSON schema error at {path}: schema must be an object"
        )))
    })
}

fn refused_by_template(messages: &[Value], model: &ModelSpec) -> Option<Reply> {
    if model.takes_tools()
        && let Some(words) = broken_arguments(messages)
    {
        return Some(fault(&words));
    }
    if model.alternates() && !alternate(messages) {
        return Some(invalid(
            "Unable to generate parser for this template. Automatic parser generation failed: \n\
             ------------\nWhile executing CallExpression at line 1, column 126 in source:\n\
             ...{{ raise_exception('Conversation roles must alternate user...\nError: Jinja \
             Exception: Conversation roles must alternate user/assistant/user/assistant/...",
        ));
    }
    None
}

/// An address is read by `handle_media` (b11434, `tools/server/server-common.cpp`).
fn image(part: &Value) -> Option<Reply> {
    let url = part["image_url"]["url"].as_str().unwrap_or_default();
    let bad = |c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c);
    if url.starts_with("http") {
        return None;
    }
    let Some(rest) = url.strip_prefix("data:") else {
        let empty = url.is_empty() || url.starts_with(bad);
        return empty.then(|| fault("Invalid base64 value"));
    };
    let Some((media, data)) = rest.split_once(',').filter(|(_, data)| !data.contains(',')) else {
        return Some(invalid("Invalid uri-encoded base64 value"));
    };
    if !["image/", "video/", "audio/"]
        .iter()
        .any(|kind| media.starts_with(kind))
    {
        return Some(invalid(&format!("Invalid uri format: data:{media}")));
    }
    if !media.ends_with("base64") {
        return Some(invalid("uri must be base64 encoded"));
    }
    // It reads up to the first other character, and what is left is no image.
    data.contains(bad)
        .then(|| fault("Failed to load image or audio file"))
}

/// What the parser of messages does not read (b11434, `common/chat.cpp`).
fn unread(message: &Value) -> Option<String> {
    let null = "[json.exception.type_error.302] type must be string, but is null";
    let missing = |key: &str| format!("[json.exception.out_of_range.403] key '{key}' not found");
    for part in message["content"].as_array().into_iter().flatten() {
        match part.get("text") {
            None if part["type"] == "text" => return Some(missing("text")),
            Some(Value::Null) => return Some(null.to_owned()),
            _ => {}
        }
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        if call.get("type").is_none() {
            return Some(format!("Missing tool call type: {call}"));
        }
        if call["function"].get("arguments").is_none() {
            return Some(missing("arguments"));
        }
        if call.get("id").is_some_and(Value::is_null) {
            return Some(null.to_owned());
        }
    }
    ["reasoning_content", "name", "tool_call_id"]
        .iter()
        .any(|key| message.get(*key).is_some_and(Value::is_null))
        .then(|| null.to_owned())
}

/// What the parser of tools does not read (b11434, `common/chat.cpp`).
fn unread_tool(tool: &Value) -> Option<String> {
    if tool["type"] != "function" {
        return Some(format!("Unsupported tool type: {tool}"));
    }
    let Some(function) = tool.get("function") else {
        return Some(format!("Missing tool function: {tool}"));
    };
    let null = |key: &str| function.get(key).is_some_and(Value::is_null);
    (null("name") || null("description"))
        .then(|| "[json.exception.type_error.302] type must be string, but is null".to_owned())
}

/// Where a schema holds one that is no object (seen on b11434).
fn odd_schema(schema: &Value, path: &str) -> Option<String> {
    let members = match schema {
        Value::Null if path == "#" => return None,
        Value::Object(members) => members,
        _ => return Some(path.to_owned()),
    };
    if let Some(properties) = members.get("properties") {
        let Some(properties) = properties.as_object() else {
            return Some(format!("{path}/properties"));
        };
        let mut inner = properties.iter();
        let odd =
            inner.find_map(|(name, one)| odd_schema(one, &format!("{path}/properties/{name}")));
        if odd.is_some() {
            return odd;
        }
    }
    if let Some(items) = members.get("items").filter(|items| !items.is_array()) {
        return odd_schema(items, &format!("{path}/items"));
    }
    let some = members
        .get("anyOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    some.enumerate()
        .find_map(|(at, one)| odd_schema(one, &format!("{path}/anyOf/{at}")))
}

/// Templates that know tools read the arguments of the calls before: JSON of any kind.
fn broken_arguments(messages: &[Value]) -> Option<String> {
    let calls = messages.iter().filter_map(|m| m["tool_calls"].as_array());
    calls.flatten().find_map(|call| {
        let text = call["function"]["arguments"].as_str()?;
        let broken = serde_json::from_str::<Value>(text).is_err();
        broken.then(|| {
            "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse \
             error at line 1, column 7: syntax error while parsing value - unexpected end of input; \
             expected '[', '{', or a literal"
                .to_owned()
        })
    })
}

fn alternate(messages: &[Value]) -> bool {
    let roles = messages.iter().filter_map(|m| m["role"].as_str());
    let mut turns = roles.filter(|role| matches!(*role, "user" | "assistant"));
    let mut expected = ["user", "assistant"].into_iter().cycle();
    turns.all(|role| Some(role) == expected.next())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_what_the_real_one_made_of_them() {
        for (value, limit_is, refused) in [
            (json!(-1), None, false),
            (json!(null), None, false),
            (json!(0), Some(1), false),
            (json!(4.0), Some(4), false),
            (json!(4.5), Some(4), false),
            (json!(9_223_372_036_854_775_808_u64), Some(1), false),
            (json!(-5), None, true),
            (json!("4"), None, true),
            (json!([4]), None, true),
            (json!(18_446_744_073_709_551_616.0), None, true),
        ] {
            let body = json!({"max_tokens": value, "messages": []});
            assert_eq!(limit(&body), limit_is, "{value}");
            let found = refusal(&body, &ModelSpec::named("m"), 2).is_some();
            assert_eq!(found, refused, "{value}");
        }
    }
}
