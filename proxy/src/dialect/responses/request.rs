//! The reading of a request: its fields become those of the chat format.
//!
//! `docs/responses.md` lists every field and what becomes of it. Nothing is re-ordered, and schemas,
//! arguments and texts keep their bytes.

mod assistant;
mod content;
mod input;
mod notes;
mod text_format;
mod tool_choice;
mod tools;

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;

use self::{
    input::{Conversation, ConversationWriter},
    notes::RequestNotes,
    tools::ChatTools,
};
use super::{error, head::ResponseHead, writer::ResponsesWriter};
use crate::{
    body::{
        number::JsonNumber,
        peek::{PeekedBody, found, not_empty},
        surrogates,
    },
    dialect::{
        chat::{
            ChatRequest, RequestTask, SharedFormat, SharedRequest,
            client_object::{ClientObject, elements},
            field_error::{invalid_type, missing, unsupported},
            json_text::decoded,
        },
        client_dialect::ClientRequest,
    },
    error::Error,
};

/// The brackets that the chat format opens beyond those of the client's format.
const DEEPER: usize = 8;

/// Members that the chat format or an engine has under the same name, and that this format has not, or
/// with the same meaning.
const PASSED: [&str; 21] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "logit_bias",
    "num_ctx",
    "keep_alive",
    "options",
    "think",
    "enable_thinking",
    "chat_template_kwargs",
    "thinking_budget",
    "reasoning_budget",
    "include_reasoning",
    "cache_prompt",
    "id_slot",
];

/// What a request that needs stored responses is told.
const STATELESS: &str = "Crucible stores no responses: send the whole conversation as `input`, with \
                         `store` false";

/// Reads a request; `is_codex` tells whether Codex sent it.
///
/// # Errors
/// The body is malformed, needs what is not there, or a field cannot be served; the error names the
/// field as the client wrote it.
pub(super) fn read(request: ClientRequest<'_>, is_codex: bool) -> Result<ChatRequest, Error> {
    not_empty(&request.body, &[("input", "\"...\"")])?;
    let (body, is_mended) = surrogates::mended(request.body);
    let depth = request.config.limits.json_depth;
    let peek = PeekedBody::of(&body, depth)?;
    let text = std::str::from_utf8(&body).unwrap_or_default();
    let fields = ClientObject::of(text, "the body")?;
    refuse_stored(&fields)?;
    let mut notes = RequestNotes::default();
    if is_mended {
        notes.say(surrogates::NOTE);
    }
    let tools = match fields.get("tools") {
        Some(raw) => ChatTools::of(raw, &mut notes)?,
        None => ChatTools::default(),
    };
    let Conversation { messages, origins } = conversation(&fields, &tools, &mut notes)?;
    let includes_logprobs = asks_for_logprobs(&fields)?;
    let mut chat = ChatBody::new(&messages);
    chat.set("model", fields.get("model"));
    if peek.stream {
        chat.set("stream", Some("true"));
        chat.set("stream_options", Some(r#"{"include_usage":true}"#));
    }
    tool_fields(&mut chat, &fields, &tools, &mut notes)?;
    answer_fields(&mut chat, &fields, &mut notes)?;
    if includes_logprobs {
        chat.set("logprobs", Some("true"));
        chat.set("top_logprobs", fields.get("top_logprobs"));
    }
    let shared = SharedRequest {
        format: SharedFormat::Responses,
        body: body.clone(),
        failed: error::failed_after,
    };
    let body = chat.finish();
    let peek = PeekedBody::of(&body, depth.saturating_add(DEEPER))?;
    let writer = ResponsesWriter::new(
        ResponseHead::of(&fields, is_codex, includes_logprobs),
        tools.names,
        origins,
        request.config.limits.event,
    );
    Ok(ChatRequest {
        task: RequestTask::Chat,
        body,
        peek: Arc::new(peek),
        notes: notes.into_sentences(),
        writer: Some(Arc::new(writer)),
        shared: Some(shared),
        native: None,
    })
}

/// A chat request that is being written.
struct ChatBody(String);

// === impl ChatBody ===

impl ChatBody {
    fn new(messages: &str) -> Self {
        let mut text = String::with_capacity(messages.len() + 1024);
        text.push_str(r#"{"messages":"#);
        text.push_str(messages);
        Self(text)
    }

    /// Adds a member, a raw value, where there is one.
    fn set(&mut self, name: &str, raw: Option<&str>) {
        if let Some(raw) = raw {
            // Writing to a string cannot fail.
            let _ = write!(self.0, r#","{name}":{raw}"#);
        }
    }

    fn finish(mut self) -> Bytes {
        self.0.push('}');
        self.0.into()
    }
}

/// Refuses what needs a store of responses or of prompts.
fn refuse_stored(fields: &ClientObject<'_>) -> Result<(), Error> {
    for name in ["previous_response_id", "conversation"] {
        if fields.get(name).is_some() {
            let message = format!("`{name}` cannot be served: {STATELESS}");
            return Err(unsupported(name, message));
        }
    }
    if fields.boolean("background", "")? == Some(true) {
        return Err(unsupported(
            "background",
            "`background` cannot be served: Crucible stores no responses; ask for a stream instead",
        ));
    }
    if fields.get("prompt").is_some() {
        return Err(unsupported(
            "prompt",
            "`prompt` names a stored template, and none is stored here: send its text as `instructions` \
             or `input`",
        ));
    }
    Ok(())
}

fn conversation(
    fields: &ClientObject<'_>,
    tools: &ChatTools,
    notes: &mut RequestNotes,
) -> Result<Conversation, Error> {
    let mut conversation = ConversationWriter::new(&tools.names, notes);
    match fields.get("instructions") {
        None => {}
        Some(raw) if raw.starts_with('"') => conversation.instructions(raw),
        Some(raw) => return Err(invalid_type("instructions", "a string", found(raw))),
    }
    let input = fields.get("input").ok_or_else(|| missing("input"))?;
    conversation.input(input)?;
    conversation.finish()
}

/// Adds the members about tools, which mean nothing without one.
fn tool_fields(
    chat: &mut ChatBody,
    fields: &ClientObject<'_>,
    tools: &ChatTools,
    notes: &mut RequestNotes,
) -> Result<(), Error> {
    let parallel = fields.boolean("parallel_tool_calls", "")?;
    let choice = match fields.get("tool_choice") {
        Some(raw) => tool_choice::chat_choice(raw, &tools.names, notes)?,
        None => None,
    };
    let Some(list) = &tools.list else {
        if choice.is_some_and(|choice| choice == r#""required""#) {
            notes.say("tool_choice required is dropped: no tool is left to call");
        }
        return Ok(());
    };
    chat.set("tools", Some(list));
    chat.set("tool_choice", choice.as_deref());
    let parallel = parallel.map(|on| if on { "true" } else { "false" });
    chat.set("parallel_tool_calls", parallel);
    Ok(())
}

/// Adds the members about the answer and how it is sampled.
fn answer_fields(
    chat: &mut ChatBody,
    fields: &ClientObject<'_>,
    notes: &mut RequestNotes,
) -> Result<(), Error> {
    chat.set("max_tokens", limit(fields)?);
    chat.set("reasoning_effort", effort(fields)?);
    if let Some(text) = fields.object("text", "")? {
        let text = ClientObject::of(text, "text")?;
        let format = text_format::response_format(&text, notes)?;
        chat.set("response_format", format.as_deref());
    }
    numbers(fields)?;
    for name in PASSED {
        chat.set(name, fields.get(name));
    }
    if fields.get("truncation") == Some(r#""auto""#) {
        notes.say("truncation auto is dropped: a prompt that is too long is refused, never cut");
    }
    Ok(())
}

/// Returns `max_output_tokens` as it stands.
fn limit<'a>(fields: &ClientObject<'a>) -> Result<Option<&'a str>, Error> {
    const NAME: &str = "max_output_tokens";
    let Some(raw) = fields.get(NAME) else {
        return Ok(None);
    };
    match JsonNumber::of(raw) {
        Some(JsonNumber::Whole(tokens)) if tokens > 0 => Ok(Some(raw)),
        Some(_) => Err(unsupported(
            NAME,
            format!("`{NAME}` must be a whole number of at least 1"),
        )),
        None => Err(invalid_type(NAME, "a number", found(raw))),
    }
}

/// Checks the types of the numbers that pass.
fn numbers(fields: &ClientObject<'_>) -> Result<(), Error> {
    for name in ["temperature", "top_p", "top_logprobs"] {
        if let Some(raw) = fields.get(name)
            && JsonNumber::of(raw).is_none()
        {
            return Err(invalid_type(name, "a number", found(raw)));
        }
    }
    Ok(())
}

/// Returns the raw `reasoning.effort`.
fn effort<'a>(fields: &ClientObject<'a>) -> Result<Option<&'a str>, Error> {
    let Some(reasoning) = fields.object("reasoning", "")? else {
        return Ok(None);
    };
    ClientObject::of(reasoning, "reasoning")?.text("effort", "reasoning")
}

/// Reports whether the probabilities of tokens are wanted in the answer.
fn asks_for_logprobs(fields: &ClientObject<'_>) -> Result<bool, Error> {
    let Some(raw) = fields.get("include") else {
        return Ok(false);
    };
    let named = elements(raw, "include")?;
    let mut named = named.into_iter().map(decoded);
    Ok(named.any(|name| name == "message.output_text.logprobs"))
}
