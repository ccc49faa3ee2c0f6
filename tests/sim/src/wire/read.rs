//! What the OpenAI-shaped engines read of a body in the same way.

use serde_json::Value;

use crate::generate::{Ask, tokens};

/// The text of a message's `content`: a string, or the text parts of a list.
pub(crate) fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| {
                part.as_str()
                    .or_else(|| part.get("text").and_then(Value::as_str))
            })
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

/// Whether any message carries an image.
pub(crate) fn has_images(messages: &[Value]) -> bool {
    messages.iter().any(|message| {
        let parts = message.get("content").and_then(Value::as_array);
        let in_parts = parts.is_some_and(|parts| {
            parts
                .iter()
                .any(|part| part.get("type").and_then(Value::as_str) == Some("image_url"))
        });
        let native = message.get("images").and_then(Value::as_array);
        in_parts || native.is_some_and(|images| !images.is_empty())
    })
}

/// `stop` as a string or a list; what is no string is dropped.
pub(crate) fn stops(stop: Option<&Value>) -> Vec<String> {
    match stop {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// The last user message.
pub(crate) fn last_user(messages: &[Value]) -> String {
    let user = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
    content_text(
        messages
            .iter()
            .rev()
            .find(user)
            .and_then(|message| message.get("content")),
    )
}

/// Prompt tokens of all messages.
pub(crate) fn prompt_tokens(messages: &[Value]) -> u64 {
    messages
        .iter()
        .map(|message| tokens(&content_text(message.get("content"))))
        .sum()
}

/// `response_format`: `json_object` or `json_schema`.
pub(crate) fn response_format(body: &Value) -> Option<Value> {
    let format = body.get("response_format")?;
    match format.get("type")?.as_str()? {
        "json_object" => Some(Value::Null),
        "json_schema" => Some(
            format
                .get("json_schema")
                .and_then(|s| s.get("schema"))
                .cloned()
                .unwrap_or(Value::Null),
        ),
        _ => None,
    }
}

/// A chat or completions body; the limit is the caller's (engines differ in it).
pub(crate) fn ask(body: &Value, limit: Option<u64>) -> Ask {
    let messages = body.get("messages").and_then(Value::as_array);
    let (last, prompt) = if let Some(messages) = messages {
        (last_user(messages), prompt_tokens(messages))
    } else {
        let prompt = content_text(body.get("prompt"));
        let count = tokens(&prompt);
        (prompt, count)
    };
    Ask {
        last_user: last,
        prompt_tokens: prompt,
        limit,
        stops: stops(body.get("stop")),
        tools: body
            .get("tools")
            .and_then(Value::as_array)
            .is_some_and(|tools| !tools.is_empty()),
        forced: None,
        think: true,
        circles: false,
        format: response_format(body),
        scripted: None,
    }
}

/// `stream_options.include_usage`.
pub(crate) fn include_usage(body: &Value) -> bool {
    let options = body.get("stream_options");
    options
        .and_then(|o| o.get("include_usage"))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// A string key of a body.
pub(crate) fn string<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}
