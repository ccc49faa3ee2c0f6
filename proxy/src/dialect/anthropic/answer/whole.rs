//! A whole message, made of a whole chat completion.

use serde_json::Value;

use super::{block_writer::SIGNATURE, call_queue::new_call_id, message_end::MessageEnd};
use crate::{
    dialect::{
        anthropic::request_facts::MessagesRequestFacts,
        chat::{
            chat_answer::{AnswerTexts, CallPieces, ChatAnswer, ChatDelta},
            json_end::JsonEnd,
            json_text::{decoded, quoted},
        },
        engine::messages::arguments::CallArguments,
    },
    error::{Error, ErrorKind, UpstreamError},
};

/// Writes a completion as a message with this id.
///
/// # Errors
/// The completion holds no answer.
pub(in crate::dialect::anthropic) fn message(
    completion: &str,
    request: &MessagesRequestFacts,
    id: &str,
) -> Result<String, Error> {
    let answer = ChatAnswer::of(completion)?;
    let choice = answer.choice().ok_or_else(no_answer)?;
    let mut end = MessageEnd::default();
    if let Some(reason) = choice.end() {
        end.finished(reason, choice.stop_reason(), &request.stop_sequences);
    }
    if let Some(usage) = answer.usage() {
        end.counted(usage);
    }
    let delta = choice.delta.as_ref();
    let texts = delta.map(ChatDelta::texts).unwrap_or_default();
    let calls: Vec<CallPieces<'_>> = delta.into_iter().flat_map(ChatDelta::calls).collect();
    end.is_refusal = !texts.refusal.is_empty();
    let blocks = blocks(&texts, &calls).join(",");
    let (reason, stop) = end.reason((calls.len(), calls.iter().any(is_cut)));
    let usage = end.usage(request.estimate);
    let model = &request.model;
    Ok(format!(
        r#"{{"id":"{id}","type":"message","role":"assistant","model":{model},"content":[{blocks}],"stop_reason":"{reason}","stop_sequence":{stop},"usage":{usage}}}"#
    ))
}

fn blocks(texts: &AnswerTexts<'_>, calls: &[CallPieces<'_>]) -> Vec<String> {
    let mut blocks = Vec::new();
    if !texts.thoughts.is_empty() {
        let thoughts = &texts.thoughts;
        blocks.push(format!(
            r#"{{"type":"thinking","thinking":"{thoughts}","signature":"{SIGNATURE}"}}"#
        ));
    }
    for text in [&texts.text, &texts.refusal] {
        if !text.is_empty() {
            blocks.push(format!(r#"{{"type":"text","text":"{text}"}}"#));
        }
    }
    blocks.extend(calls.iter().map(tool_use));
    blocks
}

/// Reports whether the arguments of a call are cut; those that are no object are not.
fn is_cut(call: &CallPieces<'_>) -> bool {
    let text = call.arguments.as_deref().map(decoded).unwrap_or_default();
    let mut end = JsonEnd::default();
    end.push(&text);
    end.is_cut()
}

/// Writes a call; its arguments become the object that they are, or one that keeps them.
fn tool_use(call: &CallPieces<'_>) -> String {
    let id = if call.id.is_empty() {
        new_call_id()
    } else {
        call.id.as_ref().to_owned()
    };
    let (id, name) = (quoted(&id), quoted(&call.name));
    let input = CallArguments::of(call.arguments.as_deref().unwrap_or("{}"));
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
