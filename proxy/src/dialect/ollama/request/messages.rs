//! Messages: parts become text and images, tool calls objects, and results get their tool's name.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{missing, wrong};
use crate::{body::peek::Peek, dialect::openai::unsupported, error::Error};

/// The conversation, message by message.
pub(super) fn messages(body: &[u8], peek: &Peek) -> Result<Vec<Value>, Error> {
    let all: Vec<Value> = peek
        .typed(body, "messages", "an array")?
        .ok_or_else(|| missing("messages"))?;
    let mut names = HashMap::new();
    all.into_iter()
        .enumerate()
        .map(|(at, message)| self::message(&format!("messages[{at}]"), message, &mut names))
        .collect()
}

fn message(
    path: &str,
    message: Value,
    names: &mut HashMap<String, String>,
) -> Result<Value, Error> {
    let Value::Object(mut message) = message else {
        return Err(wrong(path, "an object", &message));
    };
    let role = match message.get("role") {
        Some(Value::String(role)) => match role.to_lowercase().as_str() {
            "developer" => "system".to_owned(),
            other => other.to_owned(),
        },
        None => return Err(missing(&format!("{path}.role"))),
        Some(other) => return Err(wrong(&format!("{path}.role"), "a string", other)),
    };
    let calls = match message.remove("tool_calls") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(calls)) => calls
            .into_iter()
            .enumerate()
            .map(|(at, call)| tool_call(&format!("{path}.tool_calls[{at}]"), call, names))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong(&format!("{path}.tool_calls"), "an array", &other)),
    };
    let mut images = Vec::new();
    let content = match message.remove("content") {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) if role == "assistant" => String::new(),
        None | Some(Value::Null) => return Err(missing(&format!("{path}.content"))),
        Some(Value::Array(parts)) => {
            let mut texts = Vec::new();
            for (at, part) in parts.into_iter().enumerate() {
                read_part(
                    &format!("{path}.content[{at}]"),
                    &part,
                    &mut texts,
                    &mut images,
                )?;
            }
            texts.join("\n\n")
        }
        Some(other) => {
            return Err(wrong(
                &format!("{path}.content"),
                "a string or an array",
                &other,
            ));
        }
    };
    let mut out = Map::new();
    let thinking = ["reasoning_content", "reasoning"]
        .into_iter()
        .find_map(|key| message.get(key)?.as_str())
        .filter(|text| !text.is_empty());
    out.insert("role".to_owned(), role.clone().into());
    out.insert("content".to_owned(), content.into());
    if let Some(thinking) = thinking {
        out.insert("thinking".to_owned(), thinking.into());
    }
    if !images.is_empty() {
        out.insert("images".to_owned(), images.into());
    }
    if !calls.is_empty() {
        out.insert("tool_calls".to_owned(), calls.into());
    }
    if role == "tool" {
        let id = message.get("tool_call_id").and_then(Value::as_str);
        let name = message
            .get("name")
            .and_then(Value::as_str)
            .or_else(|| names.get(id?).map(String::as_str));
        if let Some(name) = name {
            out.insert("tool_name".to_owned(), name.into());
        }
        if let Some(id) = id {
            out.insert("tool_call_id".to_owned(), id.into());
        }
    }
    Ok(out.into())
}

fn tool_call(
    path: &str,
    mut call: Value,
    names: &mut HashMap<String, String>,
) -> Result<Value, Error> {
    let Some(name) = call["function"]["name"].as_str().map(str::to_owned) else {
        return Err(missing(&format!("{path}.function.name")));
    };
    let arguments = match call.pointer_mut("/function/arguments").map(Value::take) {
        None | Some(Value::Null) => json!({}),
        Some(Value::String(text)) if text.trim().is_empty() => json!({}),
        Some(Value::String(text)) => serde_json::from_str(&text)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| {
                unsupported(
                    &format!("{path}.function.arguments"),
                    "tool call arguments must be a JSON object in a string",
                )
            })?,
        Some(object @ Value::Object(_)) => object,
        Some(other) => {
            return Err(wrong(
                &format!("{path}.function.arguments"),
                "a string",
                &other,
            ));
        }
    };
    let mut out = Map::new();
    if let Some(id) = call["id"].as_str() {
        names.insert(id.to_owned(), name.clone());
        out.insert("id".to_owned(), id.into());
    }
    out.insert(
        "function".to_owned(),
        json!({"name": name, "arguments": arguments}),
    );
    Ok(out.into())
}

fn read_part(
    path: &str,
    part: &Value,
    texts: &mut Vec<String>,
    images: &mut Vec<Value>,
) -> Result<(), Error> {
    match part["type"].as_str() {
        Some("text" | "input_text") => match &part["text"] {
            Value::String(text) => texts.push(text.clone()),
            other => return Err(wrong(&format!("{path}.text"), "a string", other)),
        },
        Some("image_url") => {
            let url = part["image_url"]["url"]
                .as_str()
                .or_else(|| part["image_url"].as_str())
                .ok_or_else(|| missing(&format!("{path}.image_url.url")))?;
            images.push(image(&format!("{path}.image_url.url"), url)?.into());
        }
        Some("input_audio") => match part["input_audio"]["data"].as_str() {
            Some(data) => images.push(data.into()),
            None => return Err(missing(&format!("{path}.input_audio.data"))),
        },
        Some(other) => {
            return Err(unsupported(
                &format!("{path}.type"),
                format!("a part of type '{other}' cannot be sent to Ollama"),
            ));
        }
        None => return Err(missing(&format!("{path}.type"))),
    }
    Ok(())
}

/// Bare base64 of a data URL; an engine never fetches an address for a client.
fn image<'a>(path: &str, url: &'a str) -> Result<&'a str, Error> {
    const KINDS: [&str; 5] = [
        "data:image/jpeg;base64,",
        "data:image/jpg;base64,",
        "data:image/png;base64,",
        "data:image/webp;base64,",
        "data:;base64,",
    ];
    KINDS
        .iter()
        .find_map(|kind| url.strip_prefix(kind))
        .ok_or_else(|| {
            unsupported(
                path,
                "send images as data URLs (jpeg, png or webp, base64): Ollama fetches none",
            )
        })
}
