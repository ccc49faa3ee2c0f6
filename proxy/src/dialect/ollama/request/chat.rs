//! `/api/chat`: a conversation.

use super::{
    fields::ClientFields,
    messages::ChatMessagesWriter,
    notes::OllamaNotes,
    sampled::{sampled, think},
    written::TranslatedBody,
};
use crate::{dialect::chat::RequestTask, error::Error};

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
    if fields.list("tools")?.is_some_and(|list| !list.is_empty()) {
        body.set("tools", fields.get("tools"));
    }
    think(fields, body)?;
    sampled(fields, body, notes)?;
    if fields.boolean("logprobs")? == Some(true) {
        body.set("logprobs", Some("true"));
        body.set("top_logprobs", fields.number("top_logprobs")?);
    }
    Ok(RequestTask::Chat)
}
