//! An OpenAI chat request as Ollama's `/api/chat` wants it (Ollama 0.33).
//!
//! Always streamed and never truncated by the engine; the runner options are the model's tuple on
//! every path, and `keep_alive` is never sent (the preload's value sticks).

use std::collections::HashMap;

use bytes::Bytes;
use crucible_config::checked::{EngineKind, RequestDefaults};
use crucible_router::engine::Tuple;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    body::peek::{Peek, found},
    dialect::openai::{defaults_of, include_usage, invalid_type, unsupported, validate_chat},
    error::{Error, Kind},
};

/// A body for `/api/chat`, and what the way back must know.
#[derive(Clone, Debug)]
pub struct Translated {
    /// What to send.
    pub body: Bytes,
    /// Names of the values that were filled in; the context is the caller's to name.
    pub defaults: Vec<&'static str>,
    /// What was bent or dropped, for `x-crucible-note`.
    pub notes: Vec<String>,
    /// Names of the parameters that Ollama has no place for.
    pub dropped: Vec<&'static str>,
    /// The client asked for a usage event.
    pub include_usage: bool,
    /// Tools were sent.
    pub has_tools: bool,
}

/// Translates a chat request. `model` is Ollama's name of it.
///
/// Errors name the JSON path: `missing_field`, `invalid_type`, `unsupported_value`.
pub fn to_ollama(
    body: &[u8],
    peek: &Peek,
    model: &str,
    tuple: &Tuple,
    defaults: &RequestDefaults,
) -> Result<Translated, Error> {
    validate_chat(body, peek, EngineKind::Ollama)?;
    let mut notes = Vec::new();
    let mut out = Map::new();
    out.insert("model".to_owned(), model.into());
    out.insert("messages".to_owned(), messages(body, peek)?.into());
    out.insert("stream".to_owned(), true.into());
    out.insert("shift".to_owned(), false.into());
    out.insert("truncate".to_owned(), false.into());
    if let Some(think) = think(body, peek)? {
        out.insert("think".to_owned(), think);
    }
    if let Some(on) = peek.typed::<bool>(body, "logprobs", "a boolean")? {
        out.insert("logprobs".to_owned(), on.into());
    }
    if let Some(count) = peek.typed::<i64>(body, "top_logprobs", "a whole number")? {
        if !(0..=20).contains(&count) {
            return Err(unsupported(
                "top_logprobs",
                "`top_logprobs` must be between 0 and 20",
            ));
        }
        out.insert("top_logprobs".to_owned(), count.into());
    }
    let mut options = runner(tuple);
    let filled = sampling(body, peek, defaults, &mut options)?;
    out.insert("options".to_owned(), options.into());
    let mut dropped = Vec::new();
    if peek.raw(body, "parallel_tool_calls").is_some() {
        dropped.push("parallel_tool_calls");
    }
    if peek.raw(body, "logit_bias").is_some_and(|raw| raw != "{}") {
        dropped.push("logit_bias");
        notes.push("logit_bias dropped: Ollama has none".to_owned());
    }
    let mut text = Value::from(out).to_string();
    text.pop();
    let format = format(body, peek)?;
    let tools = tools(body, peek, &mut notes)?;
    // Raw text: a schema keeps its key order and numbers, so the rendered prompt stays the same.
    for (name, raw) in [("format", &format), ("tools", &tools)] {
        if let Some(raw) = raw {
            text.push_str(",\"");
            text.push_str(name);
            text.push_str("\":");
            text.push_str(raw);
        }
    }
    text.push('}');
    Ok(Translated {
        body: text.into(),
        defaults: filled,
        notes,
        dropped,
        include_usage: include_usage(body, peek),
        has_tools: tools.is_some(),
    })
}

/// The runner options; any difference to the loaded ones makes Ollama load the model again.
fn runner(tuple: &Tuple) -> Map<String, Value> {
    let mut options = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(name.to_owned(), value);
        }
    };
    set("num_ctx", tuple.context.map(Value::from));
    set("num_batch", tuple.batch.map(Value::from));
    set("num_thread", tuple.threads.map(Value::from));
    set("num_gpu", tuple.gpu_layers.map(Value::from));
    set("use_mmap", tuple.mmap.map(Value::from));
    options
}

fn sampling(
    body: &[u8],
    peek: &Peek,
    defaults: &RequestDefaults,
    options: &mut Map<String, Value>,
) -> Result<Vec<&'static str>, Error> {
    let mut filled = Vec::new();
    for (name, default) in defaults_of(defaults) {
        let sent = peek.typed::<serde_json::Number>(body, name, "a number")?;
        if sent.is_none() && default.is_some() {
            filled.push(name);
        }
        if let Some(value) = sent.map(Value::from).or(default.map(Value::from)) {
            options.insert(name.to_owned(), value);
        }
    }
    for name in ["top_k", "min_p"] {
        if let Some(value) = peek.typed::<serde_json::Number>(body, name, "a number")? {
            options.insert(name.to_owned(), value.into());
        }
    }
    if let Some(seed) = peek.typed::<i64>(body, "seed", "a whole number")? {
        options.insert("seed".to_owned(), seed.into());
    }
    if let Some(tokens) = peek.max_tokens(body) {
        options.insert("num_predict".to_owned(), tokens.into());
    }
    match peek.typed::<Value>(body, "stop", "a string or strings")? {
        None => {}
        Some(Value::String(stop)) => {
            options.insert("stop".to_owned(), json!([stop]));
        }
        Some(Value::Array(stops)) => {
            if let Some(at) = stops.iter().position(|stop| !stop.is_string()) {
                return Err(wrong(&format!("stop[{at}]"), "a string", &stops[at]));
            }
            options.insert("stop".to_owned(), stops.into());
        }
        Some(other) => return Err(wrong("stop", "a string or an array", &other)),
    }
    Ok(filled)
}

fn think(body: &[u8], peek: &Peek) -> Result<Option<Value>, Error> {
    let nested = peek
        .typed::<Value>(body, "reasoning", "an object")?
        .and_then(|reasoning| reasoning.get("effort").cloned())
        .filter(|effort| !effort.is_null());
    let (path, effort) = match nested {
        Some(Value::String(effort)) => ("reasoning.effort", effort),
        Some(other) => return Err(wrong("reasoning.effort", "a string", &other)),
        None => match peek.typed::<String>(body, "reasoning_effort", "a string")? {
            Some(effort) => ("reasoning_effort", effort),
            None => return Ok(None),
        },
    };
    Ok(Some(match effort.as_str() {
        "none" => false.into(),
        "minimal" | "low" => "low".into(),
        "medium" => "medium".into(),
        "high" => "high".into(),
        "xhigh" | "max" | "ultra" => "max".into(),
        _ => {
            return Err(unsupported(
                path,
                "effort must be none, minimal, low, medium, high, xhigh or max",
            ));
        }
    }))
}

fn format(body: &[u8], peek: &Peek) -> Result<Option<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Format<'a> {
        r#type: Option<String>,
        #[serde(borrow)]
        json_schema: Option<Schema<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Schema<'a> {
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
    }
    let Some(raw) = peek.raw(body, "response_format") else {
        return Ok(None);
    };
    let format: Format<'_> = serde_json::from_str(raw)
        .map_err(|_| invalid_type("response_format", "an object", found(raw)))?;
    match format.r#type.as_deref() {
        None | Some("text") => Ok(None),
        Some("json_object") => Ok(Some("\"json\"".to_owned())),
        Some("json_schema") => format
            .json_schema
            .and_then(|schema| schema.schema)
            .map(|schema| Some(schema.get().to_owned()))
            .ok_or_else(|| missing("response_format.json_schema.schema")),
        Some(_) => Err(unsupported(
            "response_format.type",
            "`response_format.type` must be text, json_object or json_schema",
        )),
    }
}

fn tools(body: &[u8], peek: &Peek, notes: &mut Vec<String>) -> Result<Option<String>, Error> {
    if !peek.has_tools(body) {
        return Ok(None);
    }
    let raw = peek.raw(body, "tools").unwrap_or("[]");
    match peek.typed::<Value>(body, "tool_choice", "a string or an object")? {
        None => {}
        Some(Value::String(choice)) => match choice.as_str() {
            "auto" => {}
            "none" => return Ok(None),
            "required" => notes.push("tool_choice required is best effort on Ollama".to_owned()),
            _ => {
                return Err(unsupported(
                    "tool_choice",
                    "`tool_choice` must be none, auto, required or a named function",
                ));
            }
        },
        Some(choice) => {
            let Some(name) = choice["function"]["name"].as_str() else {
                return Err(missing("tool_choice.function.name"));
            };
            let all: Vec<&RawValue> = serde_json::from_str(raw)
                .map_err(|_| invalid_type("tools", "an array", found(raw)))?;
            let chosen = all.into_iter().find(|tool| {
                serde_json::from_str::<Value>(tool.get())
                    .is_ok_and(|tool| tool["function"]["name"] == name)
            });
            let Some(chosen) = chosen else {
                return Err(unsupported(
                    "tool_choice.function.name",
                    format!("`tools` holds no function '{name}'"),
                ));
            };
            notes.push("a named tool_choice is best effort on Ollama: only it was offered".into());
            return Ok(Some(format!("[{}]", chosen.get())));
        }
    }
    Ok(Some(raw.to_owned()))
}

fn messages(body: &[u8], peek: &Peek) -> Result<Vec<Value>, Error> {
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

fn missing(path: &str) -> Error {
    Error::new(Kind::MissingField, format!("`{path}` is missing")).param(path)
}

fn wrong(path: &str, expected: &str, value: &Value) -> Error {
    invalid_type(path, expected, found(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(request: &Value) -> Result<Translated, Error> {
        let body = Bytes::from(request.to_string());
        let peek = Peek::of(&body, 64).unwrap();
        let tuple = Tuple {
            context: Some(4096),
            batch: Some(512),
            threads: Some(8),
            gpu_layers: Some(0),
            mmap: Some(true),
            flash_attention: None,
        };
        to_ollama(&body, &peek, "m:1b", &tuple, &RequestDefaults::default())
    }

    #[test]
    fn a_conversation_with_tools_images_and_a_schema() {
        let translated = translate(&json!({
            "model": "m", "max_completion_tokens": 9, "stop": "x", "seed": 4, "temperature": 0,
            "reasoning_effort": "xhigh", "logprobs": true, "top_logprobs": 2,
            "tool_choice": {"type": "function", "function": {"name": "b"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"z": 1, "a": 2}}},
            "tools": [{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "b"}}],
            "messages": [
                {"role": "developer", "content": "d"},
                {"role": "user", "content": [
                    {"type": "text", "text": "1"}, {"type": "text", "text": "2"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
                {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{\"z\":1,\"b\":2}"}},
                    {"id": "c2", "type": "function", "function": {"name": "b", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "c2", "content": "two"},
                {"role": "tool", "tool_call_id": "c1", "content": "one"}],
        }))
        .unwrap();
        assert_eq!(
            std::str::from_utf8(&translated.body).unwrap(),
            concat!(
                r#"{"model":"m:1b","messages":[{"role":"system","content":"d"},"#,
                r#"{"role":"user","content":"1\n\n2","images":["QUJD"]},"#,
                r#"{"role":"assistant","content":"","thinking":"r","tool_calls":["#,
                r#"{"id":"c1","function":{"name":"a","arguments":{"z":1,"b":2}}},"#,
                r#"{"id":"c2","function":{"name":"b","arguments":{}}}]},"#,
                r#"{"role":"tool","content":"two","tool_name":"b","tool_call_id":"c2"},"#,
                r#"{"role":"tool","content":"one","tool_name":"a","tool_call_id":"c1"}],"#,
                r#""stream":true,"shift":false,"truncate":false,"think":"max","#,
                r#""logprobs":true,"top_logprobs":2,"options":{"num_ctx":4096,"num_batch":512,"#,
                r#""num_thread":8,"num_gpu":0,"use_mmap":true,"temperature":0,"seed":4,"#,
                r#""num_predict":9,"stop":["x"]},"format":{"z":1,"a":2},"#,
                r#""tools":[{"type":"function","function":{"name":"b"}}]}"#,
            )
        );
        assert_eq!(translated.notes.len(), 1);
    }

    #[test]
    fn faults_are_named_by_path() {
        for (extra, param) in [
            (
                json!({"messages": [{"role": "user", "content": 3}]}),
                "messages[0].content",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]}),
                "messages[0].content[0].image_url.url",
            ),
            (
                json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1"}}]}]}),
                "messages[0].tool_calls[0].function.arguments",
            ),
            (
                json!({"messages": [{"role": "user", "content": "x"}], "stop": [1]}),
                "stop[0]",
            ),
            (
                json!({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "hot"}),
                "reasoning_effort",
            ),
        ] {
            assert_eq!(translate(&extra).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn what_ollama_has_no_place_for_is_named() {
        let dropped = |extra: &str| {
            let text = format!(r#"{{"messages":[{{"role":"user","content":"x"}}]{extra}}}"#);
            let body: Value = serde_json::from_str(&text).unwrap();
            translate(&body).unwrap().dropped
        };
        assert_eq!(dropped(""), [""; 0]);
        assert_eq!(dropped(r#","logit_bias":{}"#), [""; 0]);
        assert_eq!(
            dropped(r#","logit_bias":{"1":2},"parallel_tool_calls":false"#),
            ["parallel_tool_calls", "logit_bias"]
        );
    }

    #[test]
    fn tool_choice_none_offers_no_tools() {
        let translated = translate(&json!({"messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": "none"}))
        .unwrap();
        assert!(!translated.has_tools);
    }

    #[test]
    fn odd_shapes_are_refused_without_a_panic() {
        for message in [
            json!(1),
            json!({}),
            json!({"role": 1}),
            json!({"role": "user"}),
            json!({"role": "user", "content": [1]}),
            json!({"role": "assistant", "tool_calls": [1]}),
            json!({"role": "assistant", "tool_calls": [{"function": "f"}]}),
        ] {
            let error = translate(&json!({"messages": [message]})).unwrap_err();
            assert!(error.param.unwrap().starts_with("messages[0]"));
        }
    }
}
