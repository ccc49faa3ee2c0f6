//! A whole message, made of a whole chat completion.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    block_writer::SIGNATURE,
    chunk::{ChatCall, ChatChunk, ChatPiece},
    json_end::JsonEnd,
    message_end::MessageEnd,
};
use crate::{
    dialect::{
        anthropic::answered_request::AnsweredRequest, engine::messages::arguments::CallArguments,
    },
    error::{Error, ErrorKind, UpstreamError},
};

/// Writes a completion as a message with this id.
///
/// # Errors
/// The completion holds no answer.
pub(in crate::dialect::anthropic) fn message(
    completion: &str,
    request: &AnsweredRequest,
    id: &str,
) -> Result<String, Error> {
    let mut chunk = ChatChunk::of(completion).ok_or_else(no_answer)?;
    let choice = chunk.take_choice().ok_or_else(no_answer)?;
    let mut end = MessageEnd::default();
    if let Some(reason) = choice.finish() {
        end.finished(&reason, choice.stop_reason, &request.stop_sequences);
    }
    let delta = choice.delta.unwrap_or_default();
    if let Some(usage) = chunk.usage {
        end.counted(usage, chunk.timings);
    }
    end.is_refusal = delta.refusal().is_some();
    let blocks = blocks(&delta).join(",");
    let calls = delta.tool_calls.as_deref().unwrap_or_default();
    let (reason, stop) = end.reason((calls.len(), calls.iter().all(is_whole)));
    let usage = end.usage(request.estimate);
    let model = &request.model;
    Ok(format!(
        r#"{{"id":"{id}","type":"message","role":"assistant","model":{model},"content":[{blocks}],"stop_reason":"{reason}","stop_sequence":{stop},"usage":{usage}}}"#
    ))
}

fn blocks(answer: &ChatPiece<'_>) -> Vec<String> {
    let mut blocks = Vec::new();
    if let Some(json) = answer.thinking() {
        blocks.push(format!(
            r#"{{"type":"thinking","thinking":{json},"signature":"{SIGNATURE}"}}"#
        ));
    }
    let texts = [answer.text(), answer.refusal().map(Into::into)];
    for json in texts.into_iter().flatten() {
        blocks.push(format!(r#"{{"type":"text","text":{json}}}"#));
    }
    blocks.extend(answer.tool_calls.iter().flatten().map(tool_use));
    blocks
}

/// Reports whether the arguments of a call end; those that are no object do.
fn is_whole(call: &ChatCall<'_>) -> bool {
    let raw = call.arguments().unwrap_or_default();
    let text: Cow<'_, str> = match serde_json::from_str::<String>(raw) {
        Ok(text) => text.into(),
        Err(_) => raw.into(),
    };
    let mut end = JsonEnd::default();
    end.push(&text);
    !text.trim_start().starts_with('{') || end.is_whole()
}

/// Writes a call; its arguments become the object that they are, or one that keeps them.
fn tool_use(call: &ChatCall<'_>) -> String {
    let id = call.id().map_or_else(
        || format!("\"toolu_{:016x}\"", rand::random::<u64>()),
        str::to_owned,
    );
    let name = call.name().unwrap_or("\"\"");
    let input = CallArguments::of(call.arguments().unwrap_or("{}"));
    let is_json = serde_json::from_str::<Value>(&input.object).is_ok();
    let input = if is_json { &input.object } else { "{}" };
    format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{input}}}"#)
}

fn no_answer() -> Error {
    Error::new(
        ErrorKind::EngineError,
        "the engine's answer is no chat completion",
    )
    .upstream(UpstreamError::BadJson)
}
