//! A request for an answer in Ollama's own terms: what it asks, and what is refused before anything is
//! loaded. Ollama 0.33.0-rc2, server/routes.go and openai/openai.go.

use serde_json::{Map, Value, json};

use crate::generate::{Ask, tokens};
use crate::model_spec::ModelSpec;
use crate::ollama::catalog::{find, is_name};
use crate::ollama::duration::{KeepAlive, keep_alive};
use crate::ollama::errors::Refusal;
use crate::ollama::tuple::{Tuple, check, whole};
use crate::sim::Core;
use crate::wire::read;

/// One of the four routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) chat: bool,
    pub(crate) v1: bool,
}

/// A request in native terms.
pub(crate) struct Order<'a> {
    pub(crate) model: &'a ModelSpec,
    pub(crate) options: Map<String, Value>,
    pub(crate) tuple: Tuple,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) ask: Ask,
    pub(crate) truncate: bool,
    pub(crate) streamed: bool,
    pub(crate) empty: bool,
}

pub(crate) fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(400, message)
}

/// The model of a chat, or the refusal.
fn of_chat<'a>(core: &'a Core, body: &Value) -> Result<&'a ModelSpec, Refusal> {
    let name = read::string(body, "model").unwrap_or_default();
    if name.is_empty() {
        return Err(bad("model is required"));
    }
    model(core, body)
}

/// The model of another request, or the refusal: no name is no model.
pub(crate) fn model<'a>(core: &'a Core, body: &Value) -> Result<&'a ModelSpec, Refusal> {
    let name = read::string(body, "model").unwrap_or_default();
    if !name.is_empty() && !is_name(name) {
        return Err(bad("invalid model name"));
    }
    find(core, name).ok_or_else(|| Refusal::new(404, format!("model '{name}' not found")))
}

/// `options` of a native body, checked.
pub(crate) fn options(body: &Value) -> Result<Map<String, Value>, Refusal> {
    let options = match body.get("options") {
        None | Some(Value::Null) => Map::new(),
        Some(options) => options.as_object().cloned().unwrap_or_default(),
    };
    check(&options).map_err(|message| Refusal::new(500, message))?;
    Ok(options)
}

fn boolean(body: &Value, key: &str, default: bool) -> bool {
    body.get(key).and_then(Value::as_bool).unwrap_or(default)
}

/// What `/v1` keeps: sampling in native names; context, `keep_alive`, `max_completion_tokens` and
/// much else are dropped without a word. Absent temperature and `top_p` become 1.0.
fn v1_options(body: &Value) -> Map<String, Value> {
    let mut options = Map::new();
    for (from, to) in [
        ("max_tokens", "num_predict"),
        ("seed", "seed"),
        ("frequency_penalty", "frequency_penalty"),
        ("presence_penalty", "presence_penalty"),
    ] {
        if let Some(value) = body.get(from).filter(|value| value.is_number()) {
            options.insert(to.into(), value.clone());
        }
    }
    for key in ["temperature", "top_p"] {
        let value = body.get(key).filter(|value| value.is_number()).cloned();
        options.insert(key.into(), value.unwrap_or_else(|| json!(1.0)));
    }
    let stops = read::stops(body.get("stop"));
    if !stops.is_empty() {
        options.insert("stop".into(), json!(stops));
    }
    options
}

/// Whether thinking is asked for; native takes booleans and levels, `/v1` an effort.
fn think(body: &Value, route: Route, model: &ModelSpec) -> Result<bool, Refusal> {
    let effort = body
        .get("reasoning")
        .and_then(|r| r.get("effort"))
        .or(body.get("reasoning_effort"));
    let value = if route.v1 { effort } else { body.get("think") };
    let on = match value {
        None | Some(Value::Null) => return Ok(model.thinks()),
        Some(Value::Bool(on)) => *on,
        Some(Value::String(level)) => match level.as_str() {
            "low" | "medium" | "high" | "max" => true,
            "none" if route.v1 => false,
            "minimal" | "xhigh" | "ultra" if route.v1 => true,
            other => {
                let (what, levels) = if route.v1 {
                    (
                        "reasoning",
                        "\"minimal\", \"low\", \"medium\", \"high\", \"xhigh\", \"ultra\", \"max\", or \"none\"",
                    )
                } else {
                    (
                        "think",
                        "\"high\", \"medium\", \"low\", \"max\", true, or false",
                    )
                };
                return Err(bad(format!(
                    "invalid {what} value: \"{other}\" (must be {levels})"
                )));
            }
        },
        Some(_) => {
            return Err(bad(
                "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, or false)",
            ));
        }
    };
    if on && !model.thinks() {
        return Err(bad(format!("\"{}\" does not support thinking", model.name)));
    }
    // Reported of versions before this one, which takes every level for on.
    if let Some(level) = value.and_then(Value::as_str)
        && on
        && !route.v1
        && !model.is_gpt_oss()
    {
        return Err(bad(format!(
            "think value \"{level}\" is not supported for this model"
        )));
    }
    Ok(on)
}

/// The form of the answer; null inside is any JSON.
fn format(body: &Value, route: Route) -> Result<Option<Value>, Refusal> {
    if route.v1 {
        return Ok(read::response_format(body));
    }
    match body.get("format") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "json" => Ok(Some(Value::Null)),
        Some(Value::Object(schema)) => Ok(Some(Value::Object(schema.clone()))),
        Some(other) => Err(Refusal::new(
            500,
            format!(
                "invalid format: {:?}; expected \"json\" or a valid JSON Schema object",
                other.to_string()
            ),
        )),
    }
}

/// What of a raw prompt's request the model cannot do: `handleScheduleError` of `errCapabilityInsert`.
fn takes_prompt(body: &Value, model: &ModelSpec) -> Result<(), Refusal> {
    let suffix = body
        .get("suffix")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !suffix.is_empty() && !model.inserts() {
        let name = crate::ollama::catalog::full_name(&model.name);
        return Err(bad(format!(
            "registry.ollama.ai/library/{name} does not support insert"
        )));
    }
    let templated = ["template", "system", "context"];
    if boolean(body, "raw", false) && templated.iter().any(|key| body.get(*key).is_some()) {
        return Err(bad(
            "raw mode does not support template, system, or context",
        ));
    }
    Ok(())
}

/// Whether a member is a list with an element.
fn fills(body: &Value, name: &str) -> bool {
    let list = body.get(name).and_then(Value::as_array);
    list.is_some_and(|list| !list.is_empty())
}

/// Refuses tools and images where the model takes none.
fn takes_tools_and_images(
    body: &Value,
    messages: &[Value],
    model: &ModelSpec,
) -> Result<(), Refusal> {
    if fills(body, "tools") && !model.takes_tools() {
        let name = crate::ollama::catalog::full_name(&model.name);
        return Err(bad(format!(
            "registry.ollama.ai/library/{name} does not support tools"
        )));
    }
    if (fills(body, "images") || read::has_images(messages)) && !model.sees() {
        // Its own words for a model without a projector; llama-server's come as JSON in a string.
        return Err(bad(json!({"error": {
            "code": 400,
            "message": "Multimodal data provided, but model does not support multimodal requests.",
            "type": "invalid_request_error",
        }})
        .to_string()));
    }
    Ok(())
}

/// The most tokens of the answer. Negative is no limit (`boundedNumPredict`), and so is 0: it is left out
/// for llama-server (`n_predict,omitempty`; seen on the real one).
fn limit(options: &Map<String, Value>) -> Option<u64> {
    let limit = options.get("num_predict").and_then(whole)?;
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

// === impl Route ===

impl Route {
    /// The route of a path; `None` for one that does not generate.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (chat, v1) = match path {
            "/api/chat" => (true, false),
            "/api/generate" => (false, false),
            "/v1/chat/completions" => (true, true),
            "/v1/completions" => (false, true),
            _ => return None,
        };
        Some(Self { chat, v1 })
    }

    /// The options of a body and how long the model stays; `/v1` does not say it.
    fn settings(self, body: &Value) -> Result<(Map<String, Value>, Option<KeepAlive>), Refusal> {
        if self.v1 {
            return Ok((v1_options(body), None));
        }
        let options = options(body)?;
        Ok((options, keep_alive(body.get("keep_alive")).map_err(bad)?))
    }
}

/// Refuses what no model answers on this route.
fn takes_body(body: &Value, messages: &[Value], route: Route) -> Result<(), Refusal> {
    let logprobs = body.get("top_logprobs").and_then(Value::as_i64);
    if logprobs.is_some_and(|count| !(0..=20).contains(&count)) {
        return Err(bad("top_logprobs must be between 0 and 20"));
    }
    if route.v1 && route.chat && messages.is_empty() {
        return Err(bad("[] is too short - 'messages'"));
    }
    Ok(())
}

/// Reads a request and refuses what the route or the model does not take.
pub(crate) fn order<'a>(core: &'a Core, body: &Value, route: Route) -> Result<Order<'a>, Refusal> {
    let messages = body.get("messages").and_then(Value::as_array);
    let messages = messages.map_or(&[][..], Vec::as_slice);
    takes_body(body, messages, route)?;
    let model = if route.chat {
        of_chat(core, body)?
    } else {
        model(core, body)?
    };
    let (options, keep_alive) = route.settings(body)?;
    let shift = route.v1 || boolean(body, "shift", true);
    let prompt = read::content_text(body.get("prompt"));
    let empty = !route.v1
        && if route.chat {
            messages.is_empty()
        } else {
            prompt.is_empty()
        };
    if model.embedding && !empty {
        let verb = if route.chat { "chat" } else { "generate" };
        return Err(bad(format!("\"{}\" does not support {verb}", model.name)));
    }
    if !route.chat {
        takes_prompt(body, model)?;
    }
    let tools = fills(body, "tools");
    takes_tools_and_images(body, messages, model)?;
    let (last_user, prompt_tokens) = if route.chat {
        (read::last_user(messages), read::prompt_tokens(messages))
    } else {
        (prompt.clone(), tokens(&prompt))
    };
    let ask = Ask {
        last_user,
        prompt_tokens,
        limit: limit(&options),
        stops: read::stops(options.get("stop")),
        tools,
        format: format(body, route)?,
        think: think(body, route, model)?,
        scripted: core.conversations.answer(body),
        ..Ask::default()
    };
    Ok(Order {
        tuple: Tuple::new(&options, shift, model, core.options.context),
        model,
        options,
        keep_alive,
        ask,
        truncate: route.v1 || boolean(body, "truncate", true),
        streamed: boolean(body, "stream", !route.v1),
        empty,
    })
}
