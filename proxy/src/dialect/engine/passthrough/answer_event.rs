//! The meaning of one event of a stream that passes.

use serde_json::Value;

use crate::{
    dialect::chat::SharedFormat,
    usage::{MOST_TOKENS, Usage},
};

/// The meaning of an event for the progress of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventMeaning {
    /// A piece of text, of thinking or of a tool call.
    Content,
    /// The event may name the model that answers, call a tool, or tell counts.
    Facts,
    /// The proper end of the answer, which may tell counts too.
    End,
    /// The engine failed.
    Failure,
    /// A sign of life, which is no progress.
    Ping,
    /// Any other event.
    Other,
}

/// Returns the meaning of an event of this type.
pub(super) fn meaning(format: SharedFormat, name: &str) -> EventMeaning {
    match (name, format) {
        ("error", _) => EventMeaning::Failure,
        ("ping", _) => EventMeaning::Ping,
        (name, SharedFormat::Messages) => of_message(name),
        (name, SharedFormat::Responses) => of_response(name),
    }
}

fn of_message(name: &str) -> EventMeaning {
    match name {
        "content_block_delta" => EventMeaning::Content,
        "message_start" | "message_delta" | "content_block_start" => EventMeaning::Facts,
        "message_stop" => EventMeaning::End,
        _ => EventMeaning::Other,
    }
}

fn of_response(name: &str) -> EventMeaning {
    match name {
        "response.failed" => EventMeaning::Failure,
        "response.completed" | "response.incomplete" => EventMeaning::End,
        "response.created" | "response.output_item.added" => EventMeaning::Facts,
        name if name.rsplit('.').next() == Some("delta") => EventMeaning::Content,
        _ => EventMeaning::Other,
    }
}

/// Returns the object of an event, or of a whole answer, that has the model and the counts.
pub(super) fn subject(value: &Value) -> &Value {
    ["message", "response"]
        .iter()
        .map(|name| &value[*name])
        .find(|inner| inner.is_object())
        .unwrap_or(value)
}

/// Reports whether an event begins a tool call.
pub(super) fn begins_call(value: &Value) -> bool {
    let kind = |inner: &Value| inner["type"].as_str().map(str::to_owned);
    [&value["content_block"], &value["item"]]
        .into_iter()
        .filter_map(kind)
        .any(|kind| is_call(&kind))
}

/// Reports whether a block or an item of this type is a tool call.
pub(super) fn is_call(kind: &str) -> bool {
    matches!(kind, "tool_use" | "function_call" | "custom_tool_call")
}

/// Returns the counts of an answer, which both formats spell alike but for the cached tokens; `None`
/// where there are none. Anthropic's input tokens are without the cached ones.
pub(super) fn usage(format: SharedFormat, told: &Value) -> Option<Usage> {
    let count = |value: &Value| value.as_u64().filter(|count| *count <= MOST_TOKENS);
    let (input, output) = (count(&told["input_tokens"]), count(&told["output_tokens"]));
    input.or(output)?;
    let input = input.unwrap_or(0);
    let (prompt, cached) = match format {
        SharedFormat::Responses => {
            let cached = count(&told["input_tokens_details"]["cached_tokens"]);
            (input, cached)
        }
        SharedFormat::Messages => {
            let cached = count(&told["cache_read_input_tokens"]);
            let written = count(&told["cache_creation_input_tokens"]);
            (input + cached.unwrap_or(0) + written.unwrap_or(0), cached)
        }
    };
    Some(Usage {
        prompt,
        completion: output.unwrap_or(0),
        cached,
        reasoning: count(&told["output_tokens_details"]["reasoning_tokens"]),
        ..Usage::default()
    })
}
