//! What Go's decoder refuses before a handler sees the body. Ollama 0.33.0-rc2, `api/types.go` and
//! `openai/openai.go`; the words were seen on the real one. Unknown keys and nulls pass.

use serde_json::Value;

use crate::http::Call;
use crate::ollama::errors::Refusal;

/// A Go type, as far as JSON can miss it.
#[derive(Clone, Copy, Debug)]
enum GoType {
    Bool,
    Int,
    Float,
    Text,
    List(&'static str),
    Map(&'static str),
}

type Fields = &'static [(&'static str, GoType)];

const CHAT: Fields = &[
    ("model", GoType::Text),
    ("messages", GoType::List("[]api.Message")),
    ("stream", GoType::Bool),
    ("tools", GoType::List("api.Tools")),
    ("options", GoType::Map("map[string]interface {}")),
    ("truncate", GoType::Bool),
    ("shift", GoType::Bool),
    ("logprobs", GoType::Bool),
    ("top_logprobs", GoType::Int),
];
const GENERATE: Fields = &[
    ("model", GoType::Text),
    ("prompt", GoType::Text),
    ("suffix", GoType::Text),
    ("system", GoType::Text),
    ("template", GoType::Text),
    ("raw", GoType::Bool),
    ("stream", GoType::Bool),
    ("images", GoType::List("[]api.ImageData")),
    ("options", GoType::Map("map[string]interface {}")),
    ("truncate", GoType::Bool),
    ("shift", GoType::Bool),
    ("logprobs", GoType::Bool),
    ("top_logprobs", GoType::Int),
];
const EMBED: Fields = &[
    ("model", GoType::Text),
    ("options", GoType::Map("map[string]interface {}")),
    ("truncate", GoType::Bool),
    ("dimensions", GoType::Int),
];
const EMBEDDING: Fields = &[
    ("model", GoType::Text),
    ("prompt", GoType::Text),
    ("options", GoType::Map("map[string]interface {}")),
];
/// `top_k`, `min_p`, `n`, `tool_choice` and many more are not read at all.
const V1_CHAT: Fields = &[
    ("model", GoType::Text),
    ("messages", GoType::List("[]openai.Message")),
    ("stream", GoType::Bool),
    ("stream_options", GoType::Map("openai.StreamOptions")),
    ("max_tokens", GoType::Int),
    ("seed", GoType::Int),
    ("temperature", GoType::Float),
    ("top_p", GoType::Float),
    ("frequency_penalty", GoType::Float),
    ("presence_penalty", GoType::Float),
    ("response_format", GoType::Map("openai.ResponseFormat")),
    ("tools", GoType::List("[]api.Tool")),
    ("reasoning", GoType::Map("openai.Reasoning")),
    ("reasoning_effort", GoType::Text),
    ("logprobs", GoType::Bool),
    ("top_logprobs", GoType::Int),
];

/// The body of a request, decoded; else the words of Go's decoder.
pub(crate) fn body(call: &Call) -> Result<&Value, Refusal> {
    let bad = |message: String| Err(Refusal::new(400, message));
    let v1 = call.path.starts_with("/v1/");
    if call.body.is_empty() {
        let words = if v1 { "EOF" } else { "missing request body" };
        return bad(words.to_owned());
    }
    let (name, fields) = match call.path.as_str() {
        "/api/chat" => ("api.ChatRequest", CHAT),
        "/api/generate" => ("api.GenerateRequest", GENERATE),
        "/api/embed" => ("api.EmbedRequest", EMBED),
        "/api/embeddings" => ("api.EmbeddingRequest", EMBEDDING),
        "/api/show" => ("api.ShowRequest", &[("model", GoType::Text)] as Fields),
        "/v1/chat/completions" => ("openai.ChatCompletionRequest", V1_CHAT),
        "/v1/completions" => (
            "openai.CompletionRequest",
            &[("model", GoType::Text), ("prompt", GoType::Text)] as Fields,
        ),
        _ => ("openai.EmbedRequest", &[("model", GoType::Text)] as Fields),
    };
    let Some(body) = &call.json else {
        return bad("unexpected EOF".to_owned());
    };
    if !body.is_object() {
        let found = found(body);
        return bad(format!(
            "json: cannot unmarshal {found} into Go value of type {name}"
        ));
    }
    let short = name.rsplit('.').next().unwrap_or(name);
    for (key, kind) in fields {
        if let Some(value) = body.get(*key)
            && !kind.takes(value)
        {
            return bad(format!(
                "json: cannot unmarshal {} into Go struct field {short}.{key} of type {}",
                kind.found(value),
                kind.name()
            ));
        }
    }
    if let Some(words) = tools(body) {
        return bad(words);
    }
    messages(body, v1).map_or(Ok(body), bad)
}

/// The type of a tool's parameters is one word, and a property an object (`api.ToolProperty`).
fn tools(body: &Value) -> Option<String> {
    let field = |found: &str, path: &str, kind: &str| {
        Some(format!(
            "json: cannot unmarshal {found} into Go struct field \
             ToolFunctionParameters.tools.function.parameters.{path} of type {kind}"
        ))
    };
    for tool in body.get("tools")?.as_array()? {
        let parameters = &tool["function"]["parameters"];
        let word = parameters.get("type").unwrap_or(&Value::Null);
        if !GoType::Text.takes(word) {
            return field(found(word), "type", "string");
        }
        let properties = parameters.get("properties").and_then(Value::as_object);
        let mut odd = properties.into_iter().flat_map(serde_json::Map::values);
        if let Some(one) = odd.find(|one| !one.is_object() && !one.is_null()) {
            return field(found(one), "properties", "api.ToolProperty");
        }
    }
    None
}

/// A native message is an object whose content is a text, and its calls' arguments are objects;
/// `/v1` takes parts too.
fn messages(body: &Value, v1: bool) -> Option<String> {
    let of = if v1 { "openai.Message" } else { "api.Alias" };
    let request = if v1 {
        "ChatCompletionRequest"
    } else {
        "ChatRequest"
    };
    let field = |found: &str, path: &str, kind: &str| {
        Some(format!(
            "json: cannot unmarshal {found} into Go struct field {request}.{path} of type {kind}"
        ))
    };
    for message in body.get("messages").and_then(Value::as_array)? {
        if !message.is_object() && !message.is_null() {
            return field(found(message), "messages", of);
        }
        let content = message.get("content").unwrap_or(&Value::Null);
        if !v1 && !GoType::Text.takes(content) {
            return field(found(content), "messages.content", "string");
        }
        let calls = message.get("tool_calls").and_then(Value::as_array);
        if v1 && content.is_null() && calls.is_none() {
            return Some("invalid message content type: <nil>".to_owned());
        }
        let texts = calls
            .into_iter()
            .flatten()
            .filter(|call| call["function"]["arguments"].is_string());
        if !v1 && texts.count() > 0 {
            return Some("Value looks like object, but can't find closing '}' symbol".to_owned());
        }
    }
    None
}

/// As Go's decoder names it.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

// === impl GoType ===

impl GoType {
    fn takes(self, value: &Value) -> bool {
        value.is_null()
            || match self {
                Self::Bool => value.is_boolean(),
                // `42.0` is no `int` for Go's decoder.
                Self::Int => value.is_i64(),
                Self::Float => value.is_number(),
                Self::Text => value.is_string(),
                Self::List(_) => value.is_array(),
                Self::Map(_) => value.is_object(),
            }
    }

    fn found(self, value: &Value) -> String {
        match (self, value) {
            (Self::Int, Value::Number(number)) => format!("number {number}"),
            _ => found(value).to_owned(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float64",
            Self::Text => "string",
            Self::List(name) | Self::Map(name) => name,
        }
    }
}
