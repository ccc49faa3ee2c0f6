//! The translation of a chat request for Ollama's `/api/chat` (Ollama 0.33).
//!
//! The answer is always streamed and the prompt is never cut by the engine. The runner options are the
//! model's load options on every path, and `keep_alive` is never sent, so that the value of the
//! preload stays in effect.

mod messages;

use std::collections::HashSet;

use bytes::Bytes;
use crucible_config::checked::{PrefixSettings, RequestDefaults};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};
use serde_json::{Map, Value, json, value::RawValue};

use self::messages::messages;
use super::think::think;
use crate::{
    body::peek::{PeekedBody, found},
    dialect::{
        chat::{
            asks_for_usage,
            field_error::{invalid_type, unsupported},
            sampling::sampling_defaults,
            thinking::ThinkingRequest,
            tool_choice::{ToolChoice, ToolChoiceMode},
        },
        engine::{
            fields::{
                number_rules::{NoLimit, NumberRules},
                numbers,
                stop::rewritten_stop,
                tools::rewritten_tools,
            },
            validate_chat::validate_chat,
        },
    },
    error::Error,
    metrics::DroppedParam,
};

/// The numbers that Ollama takes (0.33).
pub(crate) static NUMBERS: NumberRules = NumberRules {
    // Its options cut fractions and wrap what is too large.
    lenient: &["top_k"],
    no_limit: NoLimit::OtherFormat,
    refuses_zero_limit: false,
    largest_limit: None,
    several_choices: false,
    beyond_f32: false,
    logprobs_count: false,
};

/// A body for `/api/chat`, and the facts by which its answer is read.
#[derive(Clone, Debug)]
pub struct OllamaRequest {
    /// The body to send.
    pub body: Bytes,
    /// The names of the sampling values that were filled in; the caller adds the context.
    pub defaults: Vec<&'static str>,
    /// Sentences for the header `x-crucible-note` about what was changed or left out.
    pub notes: Vec<String>,
    /// The names of the parameters that Ollama has no place for.
    pub dropped: Vec<DroppedParam>,
    /// Whether the client asked for an event with the token counts.
    pub include_usage: bool,
    /// Whether tools are offered to the model.
    pub has_tools: bool,
    /// Ids of the tool calls in the conversation; a new call gets another id.
    pub call_ids: HashSet<String>,
    /// Whether the client does not want to see the thoughts.
    pub hides_thinking: bool,
}

/// Translates a chat request. `model` is Ollama's name of the model, `capabilities` are the model's, and
/// `prefix` says what is done for Ollama's cache of prompts.
///
/// # Errors
/// `missing_field`, `invalid_type` and `unsupported_value`, each with the JSON path.
pub fn to_ollama(
    body: &[u8],
    peek: &PeekedBody,
    model: &str,
    tuple: &LoadTuple,
    defaults: &RequestDefaults,
    capabilities: Capabilities,
    prefix: PrefixSettings,
) -> Result<OllamaRequest, Error> {
    validate_chat(body, peek, &NUMBERS, true)?;
    let conversation = messages(body, peek, prefix.later_system)?;
    let mut notes = conversation.notes;
    let mut members = Map::new();
    members.insert("stream".to_owned(), true.into());
    if !tuple.as_loaded {
        members.insert("shift".to_owned(), false.into());
    }
    members.insert("truncate".to_owned(), false.into());
    let thinking = ThinkingRequest::of(body, peek);
    if let Some(think) = think(&thinking, capabilities, &mut notes) {
        members.insert("think".to_owned(), think);
    }
    probabilities(body, peek, &mut members)?;
    let mut options = runner(tuple);
    let filled = sampling(body, peek, defaults, &mut options, &mut notes)?;
    members.insert("options".to_owned(), options.into());
    let dropped = dropped(body, peek, &mut notes);
    let format = format(body, peek, &mut notes)?;
    let tools = offered(body, peek, &mut notes)?;
    let raw = [("format", format.as_deref()), ("tools", tools.as_deref())];
    Ok(OllamaRequest {
        body: written(model, &conversation.text, members, raw),
        defaults: filled,
        notes,
        dropped,
        include_usage: asks_for_usage(body, peek),
        has_tools: tools.is_some(),
        call_ids: conversation.call_ids,
        hides_thinking: thinking.hidden,
    })
}

/// Writes the body. The members of `raw` are JSON texts that keep their bytes: a schema keeps the order of
/// its keys and its numbers, so that the rendered prompt stays the same.
fn written(
    model: &str,
    messages: &str,
    members: Map<String, Value>,
    raw: [(&str, Option<&str>); 2],
) -> Bytes {
    let model = Value::from(model);
    let mut text = format!("{{\"model\":{model},\"messages\":{messages},");
    let rest = Value::from(members).to_string();
    text.push_str(rest.trim_start_matches('{'));
    text.pop();
    for (name, json) in raw {
        if let Some(json) = json {
            text.push_str(",\"");
            text.push_str(name);
            text.push_str("\":");
            text.push_str(json);
        }
    }
    text.push('}');
    text.into()
}

/// Adds `logprobs` and `top_logprobs`.
fn probabilities(
    body: &[u8],
    peek: &PeekedBody,
    members: &mut Map<String, Value>,
) -> Result<(), Error> {
    if let Some(on) = peek.typed::<bool>(body, "logprobs", "a boolean")? {
        members.insert("logprobs".to_owned(), on.into());
    }
    if let Some(count) = numbers::signed(body, peek, "top_logprobs", &NUMBERS)? {
        if !(0..=20).contains(&count) {
            return Err(unsupported(
                "top_logprobs",
                "`top_logprobs` must be between 0 and 20",
            ));
        }
        members.insert("top_logprobs".to_owned(), count.into());
    }
    Ok(())
}

/// Returns the names of the parameters that Ollama has no place for.
pub(super) fn dropped(
    body: &[u8],
    peek: &PeekedBody,
    notes: &mut Vec<String>,
) -> Vec<DroppedParam> {
    let mut dropped = Vec::new();
    if peek.raw(body, "parallel_tool_calls").is_some() {
        dropped.push(DroppedParam::ParallelToolCalls);
    }
    if peek.raw(body, "logit_bias").is_some_and(|raw| raw != "{}") {
        dropped.push(DroppedParam::LogitBias);
        notes.push("logit_bias dropped: Ollama has none".to_owned());
    }
    dropped
}

/// Returns the runner options. Any difference to the loaded ones would make Ollama load the model
/// again.
pub(super) fn runner(tuple: &LoadTuple) -> Map<String, Value> {
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

/// Writes the sampling values, the seed, the answer's limit and the stop sequences of a request
/// into Ollama's `options`. Returns the names of the values that the client left open and
/// `defaults` filled in; the error is a value of a wrong type.
pub(super) fn sampling(
    body: &[u8],
    peek: &PeekedBody,
    defaults: &RequestDefaults,
    options: &mut Map<String, Value>,
    notes: &mut Vec<String>,
) -> Result<Vec<&'static str>, Error> {
    let mut filled = Vec::new();
    for (name, default) in sampling_defaults(defaults) {
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
    if let Some(seed) = numbers::signed(body, peek, "seed", &NUMBERS)? {
        options.insert("seed".to_owned(), seed.into());
    }
    if let Some(limit) = limit(body, peek, notes) {
        options.insert("num_predict".to_owned(), limit);
    }
    if let Some(raw) = peek.raw(body, "stop") {
        let rewritten = rewritten_stop(raw);
        let list = match &rewritten {
            Some(stop) => stop.json.as_deref().unwrap_or_default(),
            None => raw,
        };
        match serde_json::from_str::<Value>(list) {
            Ok(Value::String(text)) => {
                options.insert("stop".to_owned(), json!([text]));
            }
            Ok(texts @ Value::Array(_)) => {
                options.insert("stop".to_owned(), texts);
            }
            _ if rewritten.is_some() => {}
            _ => notes.push("stop is dropped: it is no string and no array".to_owned()),
        }
        notes.extend(rewritten.map(|stop| stop.note));
    }
    Ok(filled)
}

/// Returns `num_predict`. No limit is sent too, because a Modelfile may have one.
fn limit(body: &[u8], peek: &PeekedBody, notes: &mut Vec<String>) -> Option<Value> {
    let mut names = ["max_completion_tokens", "max_tokens"].into_iter();
    let name = names.find(|name| peek.raw(body, name).is_some())?;
    let limit = peek.max_tokens(body);
    if limit == Some(0) {
        notes.push(format!("{name} 0 is no limit on Ollama"));
    }
    Some(limit.map_or_else(|| (-1).into(), Value::from))
}

/// Returns `format`, read from `response_format` as Ollama's own OpenAI layer (0.33) reads it: a type
/// that it does not know is no format.
pub(super) fn format(
    body: &[u8],
    peek: &PeekedBody,
    notes: &mut Vec<String>,
) -> Result<Option<String>, Error> {
    #[derive(serde::Deserialize)]
    struct RequestedFormat<'a> {
        r#type: Option<String>,
        #[serde(borrow)]
        json_schema: Option<SchemaMember<'a>>,
        // Beside the type: llama.cpp's spelling.
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct SchemaMember<'a> {
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
    }
    let Some(raw) = peek.raw(body, "response_format") else {
        return Ok(None);
    };
    let format: RequestedFormat<'_> = serde_json::from_str(raw)
        .map_err(|_| invalid_type("response_format", "an object", found(raw)))?;
    let r#type = format.r#type.unwrap_or_default().trim().to_lowercase();
    match r#type.as_str() {
        "" | "text" => Ok(None),
        "json_object" => Ok(Some(match format.schema.map(RawValue::get) {
            Some(schema) if schema.starts_with('{') => schema.to_owned(),
            _ => "\"json\"".to_owned(),
        })),
        "json_schema" => {
            let schema = format.json_schema.and_then(|schema| schema.schema);
            let schema = schema.or(format.schema);
            match schema.map(RawValue::get) {
                None | Some("null" | "\"\"") => {
                    notes.push("response_format is dropped: it has no schema".to_owned());
                    Ok(None)
                }
                Some(schema) if schema.starts_with('{') => Ok(Some(schema.to_owned())),
                // Ollama (0.33) answers 500 "invalid format" to these, as if it had failed.
                Some(schema) => Err(invalid_type(
                    "response_format.json_schema.schema",
                    "an object",
                    found(schema),
                )),
            }
        }
        _ => {
            notes.push(
                "response_format is dropped: Ollama knows text, json_object and json_schema"
                    .to_owned(),
            );
            Ok(None)
        }
    }
}

fn offered(
    body: &[u8],
    peek: &PeekedBody,
    notes: &mut Vec<String>,
) -> Result<Option<String>, Error> {
    let choice = ToolChoice::of(body, peek)?;
    if !peek.has_tools(body) {
        return Ok(None);
    }
    let raw = peek.raw(body, "tools").map(str::to_owned);
    let choice = choice.unwrap_or(ToolChoice {
        mode: ToolChoiceMode::Auto,
        tools: None,
        is_rewritten: false,
    });
    if choice.mode == ToolChoiceMode::None {
        return Ok(None);
    }
    let is_some_only = choice.tools.is_some();
    let tools = choice.tools.or(raw);
    let rewritten = tools.as_deref().map_or(Ok(None), rewritten_tools)?;
    let tools = match &rewritten {
        Some(rewritten) => rewritten.list.clone(),
        None => tools,
    };
    let about_choice = match (choice.mode, is_some_only) {
        _ if tools.is_none() => None,
        (ToolChoiceMode::None | ToolChoiceMode::Auto, false) => None,
        (ToolChoiceMode::None | ToolChoiceMode::Auto, true) => {
            Some("tool_choice allows some tools: only these were offered")
        }
        (ToolChoiceMode::Required, false) => Some("tool_choice required is best effort on Ollama"),
        (ToolChoiceMode::Required, true) => {
            Some("a named tool_choice is best effort on Ollama: only what it names was offered")
        }
    };
    notes.extend(about_choice.map(str::to_owned));
    notes.extend(rewritten.and_then(|rewritten| rewritten.note));
    Ok(tools)
}

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod tests;
