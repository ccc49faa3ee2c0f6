//! A whole chat completion as a response.

use super::{
    custom_input::CustomInput,
    head::{ResponseHead, ResponseState, ResponseStatus},
    item::{self, CallNames, ItemStatus, PartKind, item_id},
    output::OutputItems,
    tool_names::ToolNames,
};
use crate::{
    dialect::chat::{
        chat_answer::{AnswerEnd, AnswerTexts, CallPieces, ChatAnswer, ChatChoice},
        json_end::JsonEnd,
        json_text::{decoded, inner},
    },
    error::Error,
};

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

/// Returns the status of the response. One in which the arguments of a call are cut is not complete,
/// whatever the engine says.
fn status(choice: &ChatChoice<'_>) -> ResponseStatus {
    match choice.end() {
        Some(AnswerEnd::Done) | None if has_cut_call(choice) => {
            ResponseStatus::Incomplete("max_output_tokens")
        }
        Some(AnswerEnd::Length) => ResponseStatus::Incomplete("max_output_tokens"),
        Some(AnswerEnd::Filter) => ResponseStatus::Incomplete("content_filter"),
        Some(AnswerEnd::Done) | None => ResponseStatus::Completed,
    }
}

fn has_cut_call(choice: &ChatChoice<'_>) -> bool {
    let message = choice.delta.as_ref();
    message.is_some_and(|message| message.calls().any(|call| is_cut(&call)))
}

fn is_cut(call: &CallPieces<'_>) -> bool {
    let mut end = JsonEnd::default();
    end.push(&call.arguments.as_deref().map(decoded).unwrap_or_default());
    end.is_cut()
}

/// Returns the items of a choice: thoughts, text and calls.
fn output(choice: &ChatChoice<'_>, head: &ResponseHead, names: &ToolNames) -> OutputItems {
    let mut output = OutputItems::default();
    let Some(message) = &choice.delta else {
        return output;
    };
    let is_early = !matches!(choice.end(), None | Some(AnswerEnd::Done));
    let word = |is_cut: bool| {
        if is_cut {
            ItemStatus::Incomplete
        } else {
            ItemStatus::Completed
        }
    };
    let texts = message.texts();
    let calls: Vec<CallPieces<'_>> = message.calls().collect();
    let parts = parts(choice, &texts, head);
    if !texts.thoughts.is_empty() {
        let at = output.next_place();
        let id = item_id("rs", &head.digits, at);
        let status = word(is_early && parts.is_empty() && calls.is_empty());
        let text = Some(texts.thoughts.as_bytes());
        output.finished(at, item::reasoning(&id, text, status));
    }
    if !parts.is_empty() {
        let at = output.next_place();
        let id = item_id("msg", &head.digits, at);
        output.finished(
            at,
            item::message(&id, &parts, word(is_early && calls.is_empty())),
        );
    }
    for (number, call) in calls.iter().enumerate() {
        let at = output.next_place();
        let is_last = number + 1 == calls.len();
        let status = word(is_early && is_last || is_cut(call));
        output.finished(at, called(call, head, names, at, status));
    }
    output
}

/// Returns the parts of the message, joined by commas.
fn parts(choice: &ChatChoice<'_>, texts: &AnswerTexts<'_>, head: &ResponseHead) -> Vec<u8> {
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
    call: &CallPieces<'_>,
    head: &ResponseHead,
    names: &ToolNames,
    at: usize,
    status: ItemStatus,
) -> Vec<u8> {
    let call_names = CallNames::of(names, &call.name, &call.id, &head.digits, at);
    let arguments = &call.arguments;
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
