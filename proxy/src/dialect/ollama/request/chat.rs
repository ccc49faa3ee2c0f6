//! `/api/chat`: a conversation.

use super::{
    fields::ClientFields,
    messages::ChatMessagesWriter,
    notes::OllamaNotes,
    sampled::{logprobs, sampled, think},
    written::TranslatedBody,
};
use crate::{
    body::peek::found,
    dialect::chat::{RequestTask, field_error::invalid_type},
    error::Error,
};

/// Writes the members of a conversation.
///
/// # Errors
/// A field cannot be served.
pub(super) fn write(
    fields: &ClientFields<'_>,
    body: &mut TranslatedBody,
    notes: &mut OllamaNotes,
) -> Result<RequestTask, Error> {
    let mut conversation = ChatMessagesWriter::default();
    for message in fields.list("messages")?.unwrap_or_default() {
        conversation.message(message)?;
    }
    body.set("messages", Some(&conversation.finish()));
    let tools = fields.list("tools")?.unwrap_or_default();
    let is_tool = |raw: &str| raw.starts_with('{') || raw == "null";
    if let Some(at) = tools.iter().position(|raw| !is_tool(raw)) {
        let path = format!("tools[{at}]");
        return Err(invalid_type(&path, "an object", found(tools[at])));
    }
    if !tools.is_empty() {
        body.set("tools", fields.get("tools"));
    }
    think(fields, body)?;
    sampled(fields, body, notes)?;
    logprobs(fields, body)?;
    Ok(RequestTask::Chat)
}
