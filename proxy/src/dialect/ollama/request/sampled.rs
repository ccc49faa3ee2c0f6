//! The members about the answer that conversations and prompts have in common.

use super::{fields::ClientFields, notes::OllamaNotes, options, written::TranslatedBody};
use crate::{body::peek::found, dialect::chat::field_error::invalid_type, error::Error};

/// Adds the members that `/api/chat` and `/api/generate` have in common.
///
/// # Errors
/// A member cannot be served.
pub(super) fn sampled(
    fields: &ClientFields<'_>,
    body: &mut TranslatedBody,
    notes: &mut OllamaNotes,
) -> Result<(), Error> {
    body.set(
        "response_format",
        options::response_format(fields)?.as_deref(),
    );
    options::write(fields, body, notes)?;
    if fields.boolean("truncate")? == Some(true) {
        notes.say("truncate is dropped: a prompt that is too long is refused, never cut");
    }
    if fields.boolean("shift")?.is_some() {
        notes.say("shift is Crucible's: the context of an answer is never shifted");
    }
    if fields.boolean("_debug_render_only")? == Some(true) {
        notes.say("_debug_render_only is dropped: the prompt is answered");
    }
    Ok(())
}

/// Adds `logprobs` and the number of alternatives, which means nothing without it and is a number all the same.
///
/// # Errors
/// One of them is of another type.
pub(super) fn logprobs(fields: &ClientFields<'_>, body: &mut TranslatedBody) -> Result<(), Error> {
    let alternatives = fields.number("top_logprobs")?;
    if fields.boolean("logprobs")? == Some(true) {
        body.set("logprobs", Some("true"));
        body.set("top_logprobs", alternatives);
    }
    Ok(())
}

/// Adds `think`: a boolean or a level.
///
/// # Errors
/// The value is neither.
pub(super) fn think(fields: &ClientFields<'_>, body: &mut TranslatedBody) -> Result<(), Error> {
    match fields.get("think") {
        Some(raw) if !(raw.starts_with('"') || matches!(raw, "true" | "false")) => Err(
            invalid_type("think", "a boolean or a level such as \"high\"", found(raw)),
        ),
        think => {
            body.set("think", think);
            Ok(())
        }
    }
}
