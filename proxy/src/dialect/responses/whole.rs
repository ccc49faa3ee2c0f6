//! A whole chat completion as a response.

use super::{
    chat_answer::{AnswerChoice, AnswerEnd, AnswerTexts, ChatAnswer, DeltaCall},
    custom_input::CustomInput,
    head::{ResponseHead, ResponseState, ResponseStatus},
    item::{self, CallNames, ItemStatus, PartKind, item_id},
    object::{decoded, inner},
    output::OutputItems,
    tool_names::ToolNames,
};
use crate::error::Error;

/// Returns the response for a chat completion.
pub(super) fn response(
    completion: &str,
    head: &ResponseHead,
    names: &ToolNames,
) -> Result<Vec<u8>, Error> {
    let answer = ChatAnswer::of(completion)?;
    let (status, output) = match answer.choice() {
        Some(choice) => (status(choice), output(choice, head, names)),
        None => (ResponseStatus::Completed, OutputItems::default()),
    };
    let model = head.model.clone().or_else(|| answer.model());
    let mut out = Vec::with_capacity(completion.len() + 1024);
    head.write(
        &ResponseState {
            status,
            model: model.as_deref().unwrap_or_default(),
            output: &output.joined(),
            error: None,
            usage: answer.usage(),
        },
        &mut out,
    );
    Ok(out)
}

fn status(choice: &AnswerChoice<'_>) -> ResponseStatus {
    match choice.end() {
        Some(AnswerEnd::Length) => ResponseStatus::Incomplete("max_output_tokens"),
        Some(AnswerEnd::Filter) => ResponseStatus::Incomplete("content_filter"),
        Some(AnswerEnd::Done) | None => ResponseStatus::Completed,
    }
}

/// Returns the items of a choice: thoughts, text and calls.
fn output(choice: &AnswerChoice<'_>, head: &ResponseHead, names: &ToolNames) -> OutputItems {
    let mut output = OutputItems::default();
    let Some(message) = &choice.delta else {
        return output;
    };
    let is_cut = status(choice) != ResponseStatus::Completed;
    let word = |is_last: bool| {
        if is_cut && is_last {
            ItemStatus::Incomplete
        } else {
            ItemStatus::Completed
        }
    };
    let texts = message.texts();
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    let parts = parts(choice, &texts, head);
    if !texts.thoughts.is_empty() {
        let at = output.next_place();
        let id = item_id("rs", &head.digits, at);
        let status = word(parts.is_empty() && calls.is_empty());
        let text = Some(texts.thoughts.as_bytes());
        output.finished(at, item::reasoning(&id, text, status));
    }
    if !parts.is_empty() {
        let at = output.next_place();
        let id = item_id("msg", &head.digits, at);
        output.finished(at, item::message(&id, &parts, word(calls.is_empty())));
    }
    for (number, call) in calls.iter().enumerate() {
        let at = output.next_place();
        let status = word(number + 1 == calls.len());
        output.finished(at, called(call, head, names, at, status));
    }
    output
}

/// Returns the parts of the message, joined by commas.
fn parts(choice: &AnswerChoice<'_>, texts: &AnswerTexts<'_>, head: &ResponseHead) -> Vec<u8> {
    let logprobs = if head.logprobs { choice.logprobs() } else { "" };
    let parts = [
        (PartKind::Text, &texts.text, logprobs),
        (PartKind::Refusal, &texts.refusal, ""),
    ];
    let parts: Vec<Vec<u8>> = parts
        .into_iter()
        .filter(|(_, text, _)| !text.is_empty())
        .map(|(kind, text, logprobs)| item::part(kind, text.as_bytes(), logprobs.as_bytes()))
        .collect();
    parts.join(&b","[..])
}

fn called(
    call: &DeltaCall<'_>,
    head: &ResponseHead,
    names: &ToolNames,
    at: usize,
    status: ItemStatus,
) -> Vec<u8> {
    let call_names = CallNames::of(names, &call.name(), &call.id(), &head.digits, at);
    let arguments = call.arguments();
    if call_names.tool.custom {
        let mut text = String::new();
        let mut input = CustomInput::default();
        input.push(
            &arguments.as_deref().map(decoded).unwrap_or_default(),
            &mut text,
        );
        input.finish(&mut text);
        return call_names.json(text.as_bytes(), status);
    }
    let text = arguments.as_deref().map_or("{}", inner);
    call_names.json(text.as_bytes(), status)
}
