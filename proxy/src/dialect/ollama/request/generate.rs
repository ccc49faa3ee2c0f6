//! `/api/generate`: a prompt that is answered as a conversation of one message, or continued as it is where
//! `raw` or a `suffix` asks for that.

use super::{
    fields::ClientFields,
    messages::{ChatMessagesWriter, images},
    notes::OllamaNotes,
    sampled::{logprobs, sampled, think},
    written::TranslatedBody,
};
use crate::{
    dialect::chat::{RequestTask, field_error::unsupported},
    error::Error,
};

/// Writes the members of a prompt.
///
/// # Errors
/// A field cannot be served.
pub(super) fn write(
    fields: &ClientFields<'_>,
    body: &mut TranslatedBody,
    notes: &mut OllamaNotes,
) -> Result<RequestTask, Error> {
    let prompt = fields.text("prompt")?.unwrap_or("\"\"");
    let suffix = fields.filled_text("suffix")?;
    let system = fields.filled_text("system")?;
    let template = fields.filled_text("template")?;
    let is_raw = fields.boolean("raw")? == Some(true);
    let has_context = fields.list("context")?.is_some_and(|list| !list.is_empty());
    if is_raw && (system.is_some() || template.is_some() || has_context) {
        // Ollama's words (0.33, `server/routes.go`).
        return Err(unsupported(
            "raw",
            "raw mode does not support template, system, or context",
        ));
    }
    if template.is_some() {
        notes.loses(
            "template is dropped: the engine renders the prompt with the model's own template",
        );
    }
    if has_context {
        notes.loses("context is dropped: send the whole conversation with /api/chat");
    }
    let images = images(fields)?;
    sampled(fields, body, notes)?;
    if is_raw || suffix.is_some() {
        if system.is_some() {
            notes.say("system is dropped: a prompt with a suffix is no conversation");
        }
        body.set("prompt", Some(prompt));
        body.set("suffix", suffix);
        return Ok(RequestTask::Completion);
    }
    let mut conversation = ChatMessagesWriter::default();
    if let Some(system) = system {
        conversation.say("system", system, &[]);
    }
    conversation.say("user", prompt, &images);
    body.set("messages", Some(&conversation.finish()));
    think(fields, body)?;
    logprobs(fields, body)?;
    Ok(RequestTask::Chat)
}
