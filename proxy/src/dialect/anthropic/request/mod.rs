//! A request in Anthropic's format, read into a chat request.
//!
//! Everything that an engine reads of a prompt keeps the client's JSON: texts, schemas, inputs of tools,
//! their order. What is written for a message depends on that message alone. What has no meaning for a
//! local engine is left out, and said where the client loses something.

#[cfg(test)]
mod append_only;
mod billing;
mod blocks;
mod content;
mod fields;
#[cfg(test)]
mod goldens;
mod json;
mod messages;
mod notes;
mod settings;
#[cfg(test)]
mod tests;
mod tools;

use std::{fmt::Write as _, sync::Arc};

use self::{notes::MessagesNotes, settings::RequestSettings, tools::OfferedTools};
use super::writer::MessagesWriter;
use crate::{
    body::{
        peek::{PeekedBody, not_empty},
        surrogates,
    },
    dialect::{
        chat::{
            ChatRequest, RequestTask, SharedFormat, SharedRequest, client_object::ClientObject,
            field_error::missing, field_path::FieldPath,
        },
        client_dialect::ClientRequest,
    },
    error::{Error, ErrorKind},
};

/// The brackets that a chat request opens around what the client's opens: a schema stands one deeper.
const DEEPER: usize = 4;

/// The members of this format alone that may not stand twice, because a reader and a writer of them may take
/// different ones. Those of every format are refused where the body is peeked.
const ONCE: [&str; 1] = ["system"];

/// Reads a request of `/v1/messages`, or of `/v1/messages/count_tokens`.
///
/// # Errors
/// The body is no JSON object, or a member is missing, of the wrong type or not to be served.
pub(super) fn read(request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
    let ClientRequest { body, config, .. } = request;
    not_empty(&body, &[("messages", "[...]")])?;
    let (body, is_mended) = surrogates::mended(body);
    let depth = config.limits.json_depth;
    let top = PeekedBody::of(&body, depth)?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Error::new(ErrorKind::InvalidJson, "the body is not valid UTF-8"))?;
    let members = ClientObject::of(text, FieldPath::Body)?;
    if let Some(name) = members.twice(&ONCE) {
        let message = format!("`{name}` stands twice");
        return Err(Error::new(ErrorKind::DuplicateKey, message).param(name));
    }
    let mut notes = MessagesNotes::default();
    if is_mended {
        notes.say(surrogates::NOTE);
    }
    let settings = RequestSettings::of(config);
    let shared = if settings.drops_billing_block {
        billing::without_block(&body, members.get("system"))
    } else {
        body.clone()
    };
    let chat = written(&members, &top, settings, &mut notes)?;
    let chat = bytes::Bytes::from(chat);
    let peek = PeekedBody::of(&chat, depth.saturating_add(DEEPER))?;
    let writer = MessagesWriter::new(
        top.model.or_else(|| config.default_model.clone()),
        peek.estimated_prompt_tokens(),
        stop_sequences(&members),
        config.limits.event,
    );
    Ok(ChatRequest {
        task: RequestTask::Chat,
        body: chat,
        peek: Arc::new(peek),
        notes: notes.all(),
        writer: Some(Arc::new(writer)),
        shared: Some(SharedRequest {
            format: SharedFormat::Messages,
            body: shared,
            failed: |_, _| None,
        }),
        native: None,
    })
}

/// Writes the chat request. Its members have one order, so that equal requests have equal bytes.
fn written(
    members: &ClientObject<'_>,
    top: &PeekedBody,
    settings: RequestSettings,
    notes: &mut MessagesNotes,
) -> Result<String, Error> {
    let here = FieldPath::Named("messages");
    let messages = members.get("messages").ok_or_else(|| missing(here))?;
    let list = messages::conversation(members.get("system"), messages, settings, notes)?;
    let mut out = String::from("{");
    if let Some(model) = members.get("model") {
        // Writing to a String cannot fail.
        let _ = write!(out, r#""model":{model},"#);
    }
    out.push_str(r#""messages":"#);
    out.push_str(&list);
    let tools = match members.get("tools") {
        Some(raw) => OfferedTools::of(raw, settings, notes)?,
        None => OfferedTools::default(),
    };
    if !tools.list.is_empty() {
        let _ = write!(out, r#","tools":[{}]"#, tools.list);
    }
    if let Some(choice) = members.get("tool_choice") {
        tools.write_choice(choice, notes, &mut out)?;
    }
    fields::write_fields(members, notes, &mut out)?;
    if top.stream {
        out.push_str(r#","stream":true,"stream_options":{"include_usage":true}"#);
    }
    out.push('}');
    Ok(out)
}

fn stop_sequences(members: &ClientObject<'_>) -> Vec<String> {
    let raw = members.get("stop_sequences").unwrap_or("[]");
    serde_json::from_str(raw).unwrap_or_default()
}
